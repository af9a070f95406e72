// Starts a YARN of one node for the tests: Hadoop's own MiniYARNCluster, a ResourceManager and a NodeManager in this
// JVM whose containers are real processes. It listens on one address alone, and writes the configuration of its
// clients.
//
//     MiniYarn CONF_DIR WORK_DIR ADDRESS RM_PORT SCHEDULER_PORT TRACKER_PORT LIST_PORT MEMORY_MB
//
// Prints "MiniYarn: ready" once jobs can be submitted. GET http://ADDRESS:LIST_PORT/applications lists them, as JSON.
// (YARN's own REST service answers 404 here: the node's web application in the same JVM takes its filter.)
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.StringJoiner;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;
import org.apache.hadoop.yarn.server.resourcemanager.ResourceManager;
import org.apache.hadoop.yarn.server.resourcemanager.rmapp.RMApp;
import org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo.FifoScheduler;

public final class MiniYarn {
    private static final int NODE_WAIT_MS = 60_000;

    private final Path confDir;
    private final Path workDir;
    private final String address;
    private final int rmPort;
    private final int schedulerPort;
    private final int trackerPort;
    private final int listPort;
    private final String memoryMb;

    private MiniYarn(String[] args) {
        confDir = Path.of(args[0]).toAbsolutePath();
        workDir = Path.of(args[1]).toAbsolutePath();
        address = args[2];
        rmPort = Integer.parseInt(args[3]);
        schedulerPort = Integer.parseInt(args[4]);
        trackerPort = Integer.parseInt(args[5]);
        listPort = Integer.parseInt(args[6]);
        memoryMb = args[7];
    }

    public static void main(String[] args) {
        if (args.length != 8) {
            System.err.println("MiniYarn: eight arguments are needed, see the top of MiniYarn.java");
            System.exit(64);
        }
        try {
            new MiniYarn(args).run();
        } catch (Exception | LinkageError failure) { // YARN's threads would keep the JVM alive
            failure.printStackTrace();
            System.exit(1);
        }
    }

    private void run() throws Exception {
        Files.createDirectories(confDir);
        Files.createDirectories(workDir);
        Map<String, String> core = core();
        Map<String, String> client = client();
        write(confDir.resolve("core-site.xml"), core);
        write(confDir.resolve("yarn-site.xml"), client);

        Configuration configuration = new YarnConfiguration();
        core.forEach(configuration::set);
        client.forEach(configuration::set);
        server().forEach(configuration::set);
        System.setProperty("test.build.data", workDir.toString()); // where MiniYARNCluster makes its directories
        System.setProperty("yarn.log.dir", workDir.toString());
        MiniYARNCluster cluster = new MiniYARNCluster("yarn", 1, 1, 1);
        cluster.init(configuration);
        Runtime.getRuntime().addShutdownHook(new Thread(cluster::stop)); // ends the containers
        cluster.start();
        if (!cluster.waitForNodeManagersToConnect(NODE_WAIT_MS)) {
            throw new IOException("the NodeManager has not registered within " + NODE_WAIT_MS + " ms");
        }
        list(cluster.getResourceManager());
        System.out.println("MiniYarn: ready");
    }

    private String at(int port) {
        return address + ":" + port;
    }

    private Map<String, String> core() {
        return Map.of("fs.defaultFS", "file:///", // no HDFS: all on this host
                "hadoop.tmp.dir", workDir.resolve("tmp").toString(),
                "ipc.client.connect.max.retries", "5");
    }

    private Map<String, String> client() {
        return Map.of("yarn.resourcemanager.hostname", address,
                "yarn.resourcemanager.address", at(rmPort),
                "yarn.resourcemanager.scheduler.address", at(schedulerPort),
                "yarn.resourcemanager.resource-tracker.address", at(trackerPort),
                "yarn.resourcemanager.am.max-attempts", "1");
    }

    private Map<String, String> server() {
        return Map.ofEntries(
                Map.entry("yarn.is.minicluster", "true"),
                Map.entry("yarn.minicluster.fixed.ports", "true"),
                Map.entry("yarn.minicluster.control-resource-monitoring", "false"),
                Map.entry("yarn.resourcemanager.bind-host", address),
                Map.entry("yarn.resourcemanager.admin.address", at(0)),
                Map.entry("yarn.resourcemanager.webapp.address", at(0)),
                Map.entry("yarn.nodemanager.hostname", address),
                Map.entry("yarn.nodemanager.address", at(0)),
                Map.entry("yarn.nodemanager.localizer.address", at(0)),
                Map.entry("yarn.nodemanager.webapp.address", at(0)),
                Map.entry("yarn.nodemanager.resource.memory-mb", memoryMb),
                Map.entry("yarn.minicluster.yarn.nodemanager.resource.memory-mb", memoryMb),
                Map.entry("yarn.nodemanager.resource.cpu-vcores", "64"), // memory alone is the limit
                Map.entry("yarn.scheduler.minimum-allocation-mb", "128"),
                Map.entry("yarn.scheduler.maximum-allocation-mb", memoryMb),
                // The default scheduler lets a tenth of the memory be ApplicationMasters: not one job on a small node.
                Map.entry("yarn.resourcemanager.scheduler.class", FifoScheduler.class.getName()),
                Map.entry("yarn.nodemanager.pmem-check-enabled", "false"),
                Map.entry("yarn.nodemanager.vmem-check-enabled", "false"),
                Map.entry("yarn.nodemanager.disk-health-checker.enable", "false"), // a disk of 90 % is no matter here
                Map.entry("yarn.nodemanager.sleep-delay-before-sigkill.ms", "250"),
                Map.entry("yarn.nodemanager.env-whitelist", "JAVA_HOME,PATH,LANG"),
                Map.entry("yarn.resourcemanager.nodemanagers.heartbeat-interval-ms", "200"),
                Map.entry("yarn.log-aggregation-enable", "false"));
    }

    private void list(ResourceManager manager) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(address, listPort), 0);
        server.createContext("/applications", exchange -> answer(exchange, describe(manager)));
        server.start();
    }

    private static String describe(ResourceManager manager) {
        StringJoiner all = new StringJoiner(",\n ", "[", "]\n");
        for (RMApp app : manager.getRMContext().getRMApps().values()) {
            StringJoiner tags = new StringJoiner("\",\"", "[\"", "\"]").setEmptyValue("[]");
            app.getApplicationTags().forEach(tags::add);
            all.add(String.format("{\"id\":\"%s\",\"state\":\"%s\",\"final\":\"%s\",\"tags\":%s}", app.getApplicationId(),
                    app.createApplicationState(), app.getFinalApplicationStatus(), tags));
        }
        return all.toString();
    }

    private static void answer(HttpExchange exchange, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().add("Content-Type", "application/json");
        exchange.sendResponseHeaders(200, bytes.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(bytes);
        }
    }

    private static void write(Path file, Map<String, String> settings) throws IOException {
        StringBuilder text = new StringBuilder("<?xml version=\"1.0\"?>\n<configuration>\n");
        settings.forEach((name, value) -> text.append("<property><name>").append(name).append("</name><value>")
                .append(value).append("</value></property>\n"));
        Files.writeString(file, text.append("</configuration>\n"));
    }
}
