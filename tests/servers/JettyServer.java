// SPDX-License-Identifier: MIT
// Jetty 9 within a program: JettyServer HTTP-PORT HTTPS-PORT KEYSTORE PASSWORD
//
// GET / answers with how the server sees its client. SIGTERM ends it when its clients are served.
import java.io.IOException;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.SecureRequestCustomizer;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.SslConnectionFactory;
import org.eclipse.jetty.server.handler.AbstractHandler;
import org.eclipse.jetty.util.ssl.SslContextFactory;

public class JettyServer {
    static final int StopMsMax = 1000;

    public static void main(String[] arguments) throws Exception {
        Server server = new Server();
        ServerConnector http = new ServerConnector(server);
        http.setPort(Integer.parseInt(arguments[0]));
        server.addConnector(http);
        server.addConnector(https(server, Integer.parseInt(arguments[1]), arguments[2], arguments[3]));
        server.setHandler(new Seen());
        server.setStopTimeout(StopMsMax);
        server.setStopAtShutdown(true);
        server.start();
        System.out.println("listening");
    }

    static ServerConnector https(Server server, int port, String keystore, String password) {
        SslContextFactory.Server identity = new SslContextFactory.Server();
        identity.setKeyStorePath(keystore);
        identity.setKeyStorePassword(password);
        HttpConfiguration configuration = new HttpConfiguration();
        configuration.addCustomizer(new SecureRequestCustomizer());
        ServerConnector connector = new ServerConnector(server, new SslConnectionFactory(identity, "http/1.1"),
            new HttpConnectionFactory(configuration));
        connector.setPort(port);
        return connector;
    }

    static class Seen extends AbstractHandler {
        @Override
        public void handle(String target, Request base, HttpServletRequest request, HttpServletResponse response)
                throws IOException {
            String host = request.getRemoteAddr();
            System.out.println("seen " + host + " GET " + request.getRequestURI());
            response.getWriter().println("client " + host + " " + request.getRemotePort());
            base.setHandled(true);
        }
    }
}
