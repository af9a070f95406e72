// What Livy's JVM asks of a system, in small: threads, a second program, files in /tmp and at home, /proc, names and
// interfaces of the host, a port. Says in /version what failed. Run as a source file: a JRE is enough.
import com.sun.net.httpserver.HttpServer;
import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Executors;

public class Server {
    interface Step {
        Object run() throws Exception;
    }

    private static final List<String> failed = new ArrayList<>();

    private static void check(String name, Step step) {
        try {
            Object found = step.run();
            System.err.println(name + ": " + found);
        } catch (Exception e) {
            failed.add(name + ": " + e);
        }
    }

    private static String output(String... argv) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(argv).redirectErrorStream(true).start();
        String text = new String(process.getInputStream().readAllBytes()).strip();
        if (process.waitFor() != 0) throw new IOException(String.join(" ", argv) + ": " + text);
        return text;
    }

    public static void main(String[] arguments) throws Exception {
        Properties conf = new Properties();
        try (FileInputStream in = new FileInputStream(System.getenv("LIVY_CONF_DIR") + "/livy.conf")) {
            conf.load(in);
        }
        check("a JVM of its own", () -> output("java", "-Xmx32m", "-version").lines().findFirst().get());
        check("a temporary file", () -> Files.createTempFile("livy", ".tmp").toFile().delete());
        check("a file at home", () -> Files.writeString(Path.of(System.getProperty("user.home"), "cache"), "x"));
        check("the host's name", () -> InetAddress.getLocalHost().getCanonicalHostName());
        check("interfaces", () -> NetworkInterface.networkInterfaces().count());
        check("/proc/meminfo", () -> Files.readAllLines(Path.of("/proc/meminfo")).get(0));
        check("the guard of the lease", () -> Files.lines(Path.of("/proc/self/maps"))
            .filter(line -> line.contains("liblivy-ha-gate")).findFirst().get());
        check("random numbers", () -> new java.security.SecureRandom().nextLong());
        check("the user", () -> output("id", "--name", "--user"));
        check("threads", () -> Executors.newFixedThreadPool(8).submit(() -> 1).get());
        HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(conf.getProperty("livy.server.port"))), 0);
        server.createContext("/version", exchange -> {
            byte[] body = String.join("\n", failed).getBytes();
            exchange.sendResponseHeaders(200, body.length == 0 ? -1 : body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
