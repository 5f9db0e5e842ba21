#compdef txtransport
# Made by `make completion` from the parsers of txtransport; the functions that begin with
# _shtab and _set are shtab's (https://github.com/tqdm/shtab, MPL-2.0).

_shtab_txtransport_commands() {
  local _commands=(
    completion:'print a script that makes bash or zsh complete the commands'
    demo:'show real conversations over every transport, on loopback'
    devcert:'make a development authority and a certificate'
    doctor:'check this installation'
    explain:'say what a TLS error line of another tool means, and what to do'
    inspect:'say what local_cert, cafile and crl will make of a file'
    options:'list the options of a transport, or all'
    probe:'connect to a URL or a host, and show how each step went'
    transports:'list the transports, each available or why not'
  )
  _describe 'txtransport commands' _commands
}

_shtab_txtransport_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "(- : *)--version[show program\'s version number and exit]"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_defaults_added=0

_shtab_txtransport_completion_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  ":one of bash, zsh:(bash zsh)"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_completion_defaults_added=0

_shtab_txtransport_demo_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--json[write one object of JSON]"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_demo_defaults_added=0

_shtab_txtransport_devcert_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--days[how long the certificate is valid (default\: 90)]:days:"
  "--client[make a client\'s certificate, not a server\'s]"
  "--force[replace files that were not made by this command]"
  ":the folder\; is made if it is not there:_files -/"
  "(*):whom the certificate is for\: localhost, \*.example.com, \:\:1\; the first names its file:"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_devcert_defaults_added=0

_shtab_txtransport_doctor_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--json[write one object of JSON]"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_doctor_defaults_added=0

_shtab_txtransport_explain_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--json[write one object of JSON]"
  "(*)::the line\; without it, standard input is read:"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_explain_defaults_added=0

_shtab_txtransport_inspect_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--key[the file of the key, as for local_pk]:FILE:_files"
  "--as[judge FILE for this option (local_cert, local_pk, cafile, crl, capath)\; guessed by default]:OPTION:(local_cert local_pk cafile crl capath)"
  "--cafile[the authorities that clients trust, in place of the platform\'s]:FILE:_files"
  "*--name[a name that clients ask for\; may be given several times (those of the certificate)]:NAME:"
  "--passphrase-file[its first line opens the key]:FILE:_files"
  "--json[write one object of JSON]"
  "(*):the file, or a folder of authorities:_files"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_inspect_defaults_added=0

_shtab_txtransport_options_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--side[only those of this side]:side:(client datagram server)"
  "--json[write one object of JSON]"
  ":only those of this transport, such as tls:(tcp tls ssl tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 sslv2 sslv3 unix tls+unix udp fd tls+fd systemd tls+systemd udg dtls)"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_options_defaults_added=0

_shtab_txtransport_probe_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "*"{-o,--option}"[an option of the transport, such as cafile\=ca.pem\; may be given several times]:NAME=VALUE:_txtransport_names"
  "--timeout[for the whole attempt\; of a host, for each port (5)]:SECONDS:"
  "--versions[offer each version of TLS alone, too, and SSL where txtransport\[legacy\] is installed]"
  "--warn-days[exit with 1, too, when a certificate that the peer sent has fewer days left]:N:"
  "--json[write one object of JSON]"
  "--quiet[write the verdict alone (of a host\: the URLs that work), and no progress]"
  ":such as tls\:\/\/mail.example.com\:587\?starttls\=smtp, or mail.example.com:_txtransport_urls"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_probe_defaults_added=0

_shtab_txtransport_transports_options=(
  "(- : *)"{-h,--help}"[show this help message and exit]"
  "--json[write one object of JSON]"
)

# guard to ensure default positional specs are added only once per session
_shtab_txtransport_transports_defaults_added=0


_shtab_txtransport() {
  local context state line curcontext="$curcontext" one_or_more='(*)' remainder='(-)*:' default='*::: :->txtransport'

  # Add default positional/remainder specs only if none exist, and only once per session
  if (( ! _shtab_txtransport_defaults_added )); then
    if (( ${_shtab_txtransport_options[(I)${(q)one_or_more}*]} +          ${_shtab_txtransport_options[(I)${(q)remainder}*]} +          ${_shtab_txtransport_options[(I)${(q)default}]} == 0 )); then
      _shtab_txtransport_options+=(': :_shtab_txtransport_commands' '*::: :->txtransport')
    fi
    _shtab_txtransport_defaults_added=1
  fi
  _arguments -C -s $_shtab_txtransport_options

  case $state in
    txtransport)
      words=($line[1] "${words[@]}")
      (( CURRENT += 1 ))
      curcontext="${curcontext%:*:*}:_shtab_txtransport-$line[1]:"
      case $line[1] in
        completion) _arguments -C -s $_shtab_txtransport_completion_options ;;
        demo) _arguments -C -s $_shtab_txtransport_demo_options ;;
        devcert) _arguments -C -s $_shtab_txtransport_devcert_options ;;
        doctor) _arguments -C -s $_shtab_txtransport_doctor_options ;;
        explain) _arguments -C -s $_shtab_txtransport_explain_options ;;
        inspect) _arguments -C -s $_shtab_txtransport_inspect_options ;;
        options) _arguments -C -s $_shtab_txtransport_options_options ;;
        probe) _arguments -C -s $_shtab_txtransport_probe_options ;;
        transports) _arguments -C -s $_shtab_txtransport_transports_options ;;
      esac
  esac
}

# Custom Preamble
_txtransport_urls() { compadd -S '' -- tcp:// tls:// ssl:// tlsv1.0:// tlsv1.1:// tlsv1.2:// tlsv1.3:// unix:// tls+unix:// udp:// fd:// tls+fd:// systemd:// tls+systemd:// }
_txtransport_names() { compadd -S '' -- bindto= srv= backlog= ipv6_v6only= so_reuseport= so_broadcast= tcp_nodelay= so_keepalive= tcp_keepidle= tcp_keepintvl= tcp_keepcnt= so_linger= so_rcvbuf= so_sndbuf= mode= user= group= over= verify_peer= verify_peer_name= peer_name= allow_self_signed= cafile= capath= verify_depth= x509_strict= peer_fingerprint= pin= crl= local_cert= local_pk= passphrase= passphrase_file= SNI_enabled= SNI_server_certs= min_version= max_version= allow_broken_ssl= ciphers= security_level= alpn_protocols= alpn_mismatch= honor_cipher_order= no_ticket= capture_peer_cert= keylog= timeout= handshake_timeout= close_timeout= starttls= starttls_name= starttls_from= starttls_policy= proxy= proxy_protocol= proxy_from= proxy_local= send_proxy= max_connections= max_per_ip= overflow= }
# End Custom Preamble


typeset -A opt_args

if [[ $zsh_eval_context[-1] == eval ]]; then
  # eval/source/. command, register function for later
  compdef _shtab_txtransport -N txtransport
else
  # autoload from fpath, call function directly
  _shtab_txtransport "$@"
fi
