// Stands in for the interpreter half of Livy (its module livy-repl), which no registry has. Livy starts the class of this
// name in the driver of each interactive session; all else is Livy's own: RSCDriver, which this extends, its RPC, the
// server, the recovery. It understands statements in SQL, and answers them as Livy's own SQL interpreter does.
package org.apache.livy.repl;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.netty.channel.ChannelHandlerContext;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.apache.livy.rsc.RSCConf;
import org.apache.livy.rsc.ReplJobResults;
import org.apache.livy.rsc.driver.RSCDriver;
import org.apache.livy.rsc.driver.SparkEntries;
import org.apache.livy.rsc.driver.Statement;
import org.apache.livy.rsc.driver.StatementState;
import org.apache.livy.rsc.rpc.Rpc;
import org.apache.spark.SparkConf;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;

public class ReplDriver extends RSCDriver {
    private final ObjectMapper json = new ObjectMapper();
    private final ConcurrentSkipListMap<Integer, Statement> statements = new ConcurrentSkipListMap<>();
    private final ExecutorService worker = Executors.newSingleThreadExecutor(task -> {
        Thread thread = new Thread(task, "statements");
        thread.setDaemon(true);
        return thread;
    });
    private volatile String state = "not_started";
    private volatile SparkEntries entries;
    private int nextId; // under this

    public ReplDriver(SparkConf conf, RSCConf livyConf) throws Exception {
        super(conf, livyConf);
    }

    private void enter(String newState) {
        state = newState;
        broadcast(new ReplState(newState));
    }

    @Override
    protected SparkEntries initializeSparkEntries() throws Exception {
        enter("starting");
        SparkEntries made = new SparkEntries(conf);
        made.sc();
        made.sparkSession();
        entries = made;
        enter("idle");
        return made;
    }

    /** A server that comes (back) learns how things are. */
    @Override
    protected void onClientAuthenticated(Rpc client) {
        client.call(new ReplState(state));
    }

    // The dispatcher finds the methods below by the type of the message.

    public Integer handle(ChannelHandlerContext context, ReplJobRequest request) {
        Statement statement;
        synchronized (this) {
            statement = new Statement(nextId++, request.code, StatementState.Waiting, null);
        }
        statements.put(statement.id, statement);
        worker.execute(() -> run(statement));
        return statement.id;
    }

    public void handle(ChannelHandlerContext context, CancelReplJobRequest request) {
        Statement statement = statements.get(request.id);
        if (statement == null || statement.compareAndTransit(StatementState.Waiting, StatementState.Cancelled)) {
            return;
        }
        if (statement.compareAndTransit(StatementState.Running, StatementState.Cancelling)) {
            entries.sc().sc().cancelAllJobs();
        }
    }

    public String[] handle(ChannelHandlerContext context, ReplCompleteRequest request) {
        return new String[0];
    }

    public ReplJobResults handle(ChannelHandlerContext context, GetReplJobResults request) {
        Stream<Statement> wanted = statements.values().stream();
        if (!request.allResults) {
            wanted = wanted.filter(each -> each.id >= request.from && each.id < request.from + request.size);
        }
        return new ReplJobResults(wanted.toArray(Statement[]::new));
    }

    private void run(Statement statement) {
        if (!statement.compareAndTransit(StatementState.Waiting, StatementState.Running)) {
            return;
        }
        statement.started = System.currentTimeMillis();
        enter("busy");
        try {
            statement.output = json.writeValueAsString(execute(statement));
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException(impossible);
        }
        statement.completed = System.currentTimeMillis();
        statement.updateProgress(1.0);
        if (!statement.compareAndTransit(StatementState.Running, StatementState.Available)) {
            statement.compareAndTransit(StatementState.Cancelling, StatementState.Cancelled);
        }
        enter("idle");
    }

    private ObjectNode execute(Statement statement) {
        ObjectNode output = json.createObjectNode().put("status", "ok").put("execution_count", statement.id);
        try {
            Dataset<Row> table = entries.sparkSession().sql(statement.code);
            ObjectNode answer = output.putObject("data").putObject("application/json");
            answer.set("schema", json.readTree(table.schema().json()));
            ArrayNode rows = answer.putArray("data");
            for (Row row : table.collectAsList()) {
                ArrayNode values = rows.addArray();
                for (int column = 0; column < row.length(); column++) {
                    values.addPOJO(row.get(column));
                }
            }
        } catch (Exception failure) {
            output.remove("data");
            output.put("status", "error").put("ename", failure.getClass().getSimpleName())
                    .put("evalue", String.valueOf(failure.getMessage())).putArray("traceback");
        }
        return output;
    }
}
