<%@page contentType="text/plain" session="false"%>Tomcat on Java <%= System.getProperty("java.version")
%>, <%= request.getProtocol() %>, <%= request.getScheme() %>: client <%= request.getRemoteAddr() %>:<%= request.getRemotePort() %>
