# Made by `make completion` from the parsers of txtransport; the functions that begin with
# _shtab and _set are shtab's (https://github.com/tqdm/shtab, MPL-2.0).

_shtab_txtransport_subparsers=(demo probe inspect transports options devcert doctor explain completion)

_shtab_txtransport_demo_option_strings=(-h --help --json)
_shtab_txtransport_probe_option_strings=(-h --help -o --option --timeout --versions --warn-days --json --quiet)
_shtab_txtransport_inspect_option_strings=(-h --help --key --as --cafile --name --passphrase-file --json)
_shtab_txtransport_transports_option_strings=(-h --help --json)
_shtab_txtransport_options_option_strings=(-h --help --side --json)
_shtab_txtransport_devcert_option_strings=(-h --help --days --client --force)
_shtab_txtransport_doctor_option_strings=(-h --help --json)
_shtab_txtransport_explain_option_strings=(-h --help --json)
_shtab_txtransport_completion_option_strings=(-h --help)
_shtab_txtransport_option_strings=(-h --help --version)

_shtab_txtransport_probe_pos_0_COMPGEN=_txtransport_urls
_shtab_txtransport_probe__o_COMPGEN=_txtransport_names
_shtab_txtransport_probe___option_COMPGEN=_txtransport_names
_shtab_txtransport_inspect_pos_0_COMPGEN=_shtab_compgen_files
_shtab_txtransport_inspect___key_COMPGEN=_shtab_compgen_files
_shtab_txtransport_inspect___cafile_COMPGEN=_shtab_compgen_files
_shtab_txtransport_inspect___passphrase_file_COMPGEN=_shtab_compgen_files
_shtab_txtransport_devcert_pos_0_COMPGEN=_shtab_compgen_dirs

_shtab_txtransport_inspect___as_choices=(local_cert local_pk cafile crl capath)
_shtab_txtransport_options_pos_0_choices=(tcp tls ssl tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 sslv2 sslv3 unix tls+unix udp fd tls+fd systemd tls+systemd udg dtls)
_shtab_txtransport_options___side_choices=(client datagram server)
_shtab_txtransport_completion_pos_0_choices=(bash zsh)
_shtab_txtransport_pos_0_choices=(demo probe inspect transports options devcert doctor explain completion)

_shtab_txtransport_demo__h_nargs=0
_shtab_txtransport_demo___help_nargs=0
_shtab_txtransport_demo___json_nargs=0
_shtab_txtransport_probe__h_nargs=0
_shtab_txtransport_probe___help_nargs=0
_shtab_txtransport_probe___versions_nargs=0
_shtab_txtransport_probe___json_nargs=0
_shtab_txtransport_probe___quiet_nargs=0
_shtab_txtransport_inspect_pos_0_nargs=+
_shtab_txtransport_inspect__h_nargs=0
_shtab_txtransport_inspect___help_nargs=0
_shtab_txtransport_inspect___json_nargs=0
_shtab_txtransport_transports__h_nargs=0
_shtab_txtransport_transports___help_nargs=0
_shtab_txtransport_transports___json_nargs=0
_shtab_txtransport_options__h_nargs=0
_shtab_txtransport_options___help_nargs=0
_shtab_txtransport_options___json_nargs=0
_shtab_txtransport_devcert_pos_1_nargs=+
_shtab_txtransport_devcert__h_nargs=0
_shtab_txtransport_devcert___help_nargs=0
_shtab_txtransport_devcert___client_nargs=0
_shtab_txtransport_devcert___force_nargs=0
_shtab_txtransport_doctor__h_nargs=0
_shtab_txtransport_doctor___help_nargs=0
_shtab_txtransport_doctor___json_nargs=0
_shtab_txtransport_explain_pos_0_nargs='*'
_shtab_txtransport_explain__h_nargs=0
_shtab_txtransport_explain___help_nargs=0
_shtab_txtransport_explain___json_nargs=0
_shtab_txtransport_completion__h_nargs=0
_shtab_txtransport_completion___help_nargs=0
_shtab_txtransport_pos_0_nargs=A...
_shtab_txtransport__h_nargs=0
_shtab_txtransport___help_nargs=0
_shtab_txtransport___version_nargs=0


# Custom Preamble
_txtransport_urls() { compgen -W "tcp:// tls:// ssl:// tlsv1.0:// tlsv1.1:// tlsv1.2:// tlsv1.3:// unix:// tls+unix:// udp:// fd:// tls+fd:// systemd:// tls+systemd://" -- "$1"; }
_txtransport_names() { compgen -W "bindto= srv= backlog= ipv6_v6only= so_reuseport= so_broadcast= tcp_nodelay= so_keepalive= tcp_keepidle= tcp_keepintvl= tcp_keepcnt= so_linger= so_rcvbuf= so_sndbuf= mode= user= group= over= verify_peer= verify_peer_name= peer_name= allow_self_signed= cafile= capath= verify_depth= x509_strict= peer_fingerprint= pin= crl= local_cert= local_pk= passphrase= passphrase_file= SNI_enabled= SNI_server_certs= min_version= max_version= allow_broken_ssl= ciphers= security_level= alpn_protocols= alpn_mismatch= honor_cipher_order= no_ticket= capture_peer_cert= keylog= timeout= handshake_timeout= close_timeout= starttls= starttls_name= starttls_from= starttls_policy= proxy= proxy_protocol= proxy_from= proxy_local= send_proxy= max_connections= max_per_ip= overflow=" -- "$1"; }
# End Custom Preamble

# $1=COMP_WORDS[1]
_shtab_compgen_files() {
  compgen -f -- $1  # files
}

# $1=COMP_WORDS[1]
_shtab_compgen_dirs() {
  compgen -d -- $1  # recurse into subdirs
}

# $1=COMP_WORDS[1]
_shtab_replace_nonword() {
  echo "${1//[^[:word:]]/_}"
}

# set default values (called for the initial parser & any subparsers)
_set_parser_defaults() {
  local subparsers_var="${prefix}_subparsers[@]"
  sub_parsers=${!subparsers_var-}

  local current_option_strings_var="${prefix}_option_strings[@]"
  current_option_strings=${!current_option_strings_var}

  completed_positional_actions=0

  _set_new_action "pos_$completed_positional_actions" true
}

# $1=action identifier
# $2=positional action (bool)
# set all identifiers for an action's parameters
_set_new_action() {
  current_action="${prefix}_$(_shtab_replace_nonword $1)"

  local current_action_compgen_var=${current_action}_COMPGEN
  current_action_compgen="${!current_action_compgen_var-}"

  local current_action_choices_var="${current_action}_choices[@]"
  current_action_choices="${!current_action_choices_var-}"

  local current_action_nargs_var="${current_action}_nargs"
  if [ -n "${!current_action_nargs_var-}" ]; then
    current_action_nargs="${!current_action_nargs_var}"
  else
    current_action_nargs=1
  fi

  current_action_args_start_index=$(( $word_index + 1 - $pos_only ))

  current_action_is_positional=$2
}

# Notes:
# `COMPREPLY`: what will be rendered after completion is triggered
# `completing_word`: currently typed word to generate completions for
# `${!var}`: evaluates the content of `var` and expand its content as a variable
#     hello="world"
#     x="hello"
#     ${!x} -> ${hello} -> "world"
_shtab_txtransport() {
  local completing_word="${COMP_WORDS[COMP_CWORD]}"
  local previous_word="${COMP_WORDS[COMP_CWORD-1]}"
  local completed_positional_actions
  local current_action
  local current_action_args_start_index
  local current_action_choices
  local current_action_compgen
  local current_action_is_positional
  local current_action_nargs
  local current_option_strings
  local sub_parsers
  COMPREPLY=()

  local prefix=_shtab_txtransport
  local word_index=0
  local pos_only=0 # "--" delimiter not encountered yet
  _set_parser_defaults
  word_index=1

  # determine what arguments are appropriate for the current state
  # of the arg parser
  while [ $word_index -ne $COMP_CWORD ]; do
    local this_word="${COMP_WORDS[$word_index]}"

    if [[ $pos_only = 1 || " $this_word " != " -- " ]]; then
      if [[ -n $sub_parsers && " ${sub_parsers[@]} " == *" $this_word "* ]]; then
        # valid subcommand: add it to the prefix & reset the current action
        prefix="${prefix}_$(_shtab_replace_nonword $this_word)"
        _set_parser_defaults
      fi

      if [[ " ${current_option_strings[@]} " == *" $this_word "* ]]; then
        # a new action should be acquired (due to recognised option string or
        # no more input expected from current action);
        # the next positional action can fill in here
        _set_new_action $this_word false
      fi

      if [[ "$current_action_nargs" != "*" ]] && \
         [[ "$current_action_nargs" != "+" ]] && \
         [[ "$current_action_nargs" != "?" ]] && \
         [[ "$current_action_nargs" != *"..." ]] && \
         (( $word_index + 1 - $current_action_args_start_index - $pos_only >= \
            $current_action_nargs )); then
        $current_action_is_positional && let "completed_positional_actions += 1"
        _set_new_action "pos_$completed_positional_actions" true
      fi
    else
      pos_only=1 # "--" delimiter encountered
    fi

    let "word_index+=1"
  done

  # Generate the completions

  COMPREPLY=()
  if [[ $pos_only = 0 && "$completing_word" == -* &&
        ( -z "$current_action_compgen" || "$current_action_is_positional" = true ) ]]; then
    # optional argument started: use option strings
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_option_strings[*]}" -- "$completing_word")
  elif [[ "$previous_word" =~ ^[0-9\&]*[\<\>]\>?$ ]]; then
    # handle redirection operators
    compopt -o filenames 2>/dev/null || : # bash>=4
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$completing_word")
  else
    # use choices & compgen
    local action_compgen_word="$completing_word"
    # handle tab-completing in the middle of a line (#248 <- #116)
    [[ -n "$current_action_compgen" && "$completing_word" == -* ]] && action_compgen_word=""
    [ -n "$current_action_compgen" ] && {
      [[ "$current_action_compgen" =~ _(file|dir|glob|FILE|DIR|GLOB)|File|Dir|Glob ]] &&
        compopt -o filenames 2>/dev/null || : # bash>=4
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
        "$current_action_compgen" "$action_compgen_word")
    }
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_action_choices[*]}" -- "$completing_word")
  fi

  if [[ ${#COMPREPLY[@]} = 0 ]]; then
    # native fallback matches are not necessarily filenames (e.g. variables)
    compopt +o filenames 2>/dev/null || : # bash>=4
  fi

  return 0
}

complete -o bashdefault -F _shtab_txtransport txtransport

_txtransport() {
  _shtab_txtransport
  if [[ ${#COMPREPLY[@]} = 1 && "${COMPREPLY[0]}" == *[=/] ]]; then
    compopt -o nospace 2>/dev/null || :
  fi
}

complete -o bashdefault -F _txtransport txtransport
