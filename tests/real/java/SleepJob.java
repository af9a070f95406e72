// The batch of the tests: a small real computation on an executor, then sleep.
//
//     SleepJob SECONDS
import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;

public final class SleepJob {
    private SleepJob() { }

    public static void main(String[] args) throws InterruptedException {
        long milliseconds = Math.round(1000 * Double.parseDouble(args[0]));
        try (JavaSparkContext context = new JavaSparkContext(new SparkConf())) {
            int sum = context.parallelize(List.of(1, 2, 3, 4), 1).reduce(Integer::sum);
            System.out.println("SleepJob: the sum is " + sum);
            Thread.sleep(milliseconds);
        }
    }
}
