import java.io.FileInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * Java's SSL 3.0 as a client and as a server, for tests.
 *
 * <p>java SSL3Peer.java client OWN AUTHORITY PORT SIZE SUITE… connects once with each suite,
 * sends random bytes, expects them back, and closes by close_notify.
 *
 * <p>java SSL3Peer.java server OWN AUTHORITY none|want|need sends back what each client sends.
 *
 * <p>OWN is a PKCS #12 file with the password "changeit", AUTHORITY a PEM file.
 */
public class SSL3Peer {
  private static final InetAddress LOOPBACK = InetAddress.getLoopbackAddress();

  public static void main(String[] arguments) throws Exception {
    // SSL 3.0, RC4 and 3DES are among what Java refuses unless it is told otherwise.
    Security.setProperty("jdk.tls.disabledAlgorithms", "");
    Security.setProperty("jdk.tls.legacyAlgorithms", "");
    if (arguments[0].equals("client")) {
      int port = Integer.parseInt(arguments[3]);
      int size = Integer.parseInt(arguments[4]);
      for (int at = 5; at < arguments.length; at++) {
        connect(arguments[1], arguments[2], port, size, arguments[at]);
      }
    } else {
      serve(arguments[1], arguments[2], arguments[3]);
    }
  }

  private static SSLContext context(String own, String authority) throws Exception {
    char[] password = "changeit".toCharArray();
    KeyStore store = KeyStore.getInstance("PKCS12");
    try (InputStream file = new FileInputStream(own)) {
      store.load(file, password);
    }
    KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
    keys.init(store, password);
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    try (InputStream file = new FileInputStream(authority)) {
      trusted.setCertificateEntry(
          "authority", CertificateFactory.getInstance("X.509").generateCertificate(file));
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(trusted);
    // A new one for each connection, so that no session is resumed.
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }

  private static void connect(String own, String authority, int port, int size, String suite)
      throws Exception {
    SSLContext context = context(own, authority);
    try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(LOOPBACK, port)) {
      socket.setEnabledProtocols(new String[] {"SSLv3"});
      socket.setEnabledCipherSuites(new String[] {suite});
      socket.startHandshake();
      byte[] data = new byte[size];
      new SecureRandom().nextBytes(data);
      Thread sender = new Thread(() -> send(socket, data));
      sender.start();
      byte[] back = socket.getInputStream().readNBytes(size);
      sender.join();
      socket.shutdownOutput();
      boolean isClosed = socket.getInputStream().read() == -1;
      String shown = socket.getSession().getProtocol() + " " + socket.getSession().getCipherSuite();
      System.out.println(shown + (Arrays.equals(data, back) && isClosed ? " good" : " BAD"));
    } catch (Exception error) {
      System.out.println("failed " + suite + " " + error);
    }
  }

  private static void send(Socket socket, byte[] data) {
    try {
      socket.getOutputStream().write(data);
    } catch (Exception error) {
      System.out.println("failed to send " + error);
    }
  }

  private static void serve(String own, String authority, String demand) throws Exception {
    SSLContext context = context(own, authority);
    SSLServerSocket port =
        (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 5, LOOPBACK);
    port.setEnabledProtocols(new String[] {"SSLv3"});
    port.setEnabledCipherSuites(port.getSupportedCipherSuites());
    port.setNeedClientAuth(demand.equals("need"));
    if (demand.equals("want")) {
      port.setWantClientAuth(true);
    }
    System.out.println("port " + port.getLocalPort());
    while (true) {
      try (SSLSocket socket = (SSLSocket) port.accept()) {
        socket.startHandshake();
        System.out.println(
            "suite " + socket.getSession().getProtocol() + " "
                + socket.getSession().getCipherSuite() + " " + client(socket));
        byte[] part = new byte[20000];
        OutputStream out = socket.getOutputStream();
        for (int size; (size = socket.getInputStream().read(part)) > 0; ) {
          out.write(part, 0, size);
        }
        System.out.println("closed");
      } catch (Exception error) {
        System.out.println("failed " + error);
      }
    }
  }

  private static String client(SSLSocket socket) {
    try {
      return socket.getSession().getPeerPrincipal().getName();
    } catch (Exception error) {
      return "nobody";
    }
  }
}
