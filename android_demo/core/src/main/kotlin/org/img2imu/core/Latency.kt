package org.img2imu.core

/**
 * How latency is measured.
 *
 * @property warmUp runs before the first one that counts
 * @property runs at least so many count
 * @property seconds and at least for so long
 */
data class Protocol(val warmUp: Int = 20, val runs: Int = 200, val seconds: Double = 5.0) {
    init {
        ensure(warmUp >= 0) { "warm-up must not be negative: $warmUp" }
        ensure(runs in 1..MAX_RUNS) { "runs must lie between 1 and $MAX_RUNS, not $runs" }
        ensure(seconds in 0.0..3600.0) { "seconds must lie between 0 and 3600, not $seconds" }
    }

    private companion object {
        const val MAX_RUNS = 1_000_000
    }
}

/** A clock in nanoseconds that never steps back. */
fun interface Clock {
    fun nanoseconds(): Long

    companion object {
        val SYSTEM = Clock(System::nanoTime)
    }
}

/** Every run of one stage, in nanoseconds, in the order of time. */
class Timing(val nanoseconds: LongArray) {
    private val sorted = nanoseconds.sortedArray()

    init {
        require(nanoseconds.isNotEmpty()) { "no runs" }
    }

    /** Milliseconds that a share of [percent] of the runs does not exceed, interpolated as by numpy. */
    fun percentile(percent: Double): Double {
        val position = percent / 100 * (sorted.size - 1)
        val below = position.toInt()
        val above = minOf(below + 1, sorted.size - 1)
        return (sorted[below] + (position - below) * (sorted[above] - sorted[below])) / 1e6
    }

    val mean get() = nanoseconds.average() / 1e6
    val max get() = sorted.last() / 1e6
}

/**
 * Times a piece of work by the protocol.
 *
 * @param work told the number of its run, from 0; warm-up counts too
 */
fun measure(protocol: Protocol, clock: Clock = Clock.SYSTEM, work: (Int) -> Unit): Timing {
    for (run in 0 until protocol.warmUp) work(run)
    val enough = (protocol.seconds * 1e9).toLong()
    var samples = LongArray(maxOf(1024, protocol.runs))
    var count = 0
    val begin = clock.nanoseconds()
    do {
        if (count == samples.size) samples = samples.copyOf(2 * count)
        val before = clock.nanoseconds()
        work(protocol.warmUp + count)
        val after = clock.nanoseconds()
        samples[count++] = after - before
    } while (count < protocol.runs || after - begin < enough)
    return Timing(samples.copyOf(count))
}

/** Names of the stages of a benchmark. */
object Stage {
    /** Window to pictures; missing where the model draws them itself. */
    const val CONVERT = "convert"

    /** What the model gets, to its answer. */
    const val INFERENCE = "inference"

    /** Window to label. */
    const val END_TO_END = "end_to_end"
}

/**
 * What a benchmark measured.
 *
 * @property model what the model says about itself
 * @property coldStart milliseconds from opening the model to its first answer
 * @property stages by name
 */
class Measurements(
    val model: ModelInfo,
    val protocol: Protocol,
    val coldStart: Double,
    val stages: Map<String, Timing>,
)

/**
 * Opens a model once and measures it, stage after stage.
 *
 * @param windows real ones, taken in turn; at least one
 * @param onStage told the name of each stage before it begins; it may throw to stop
 * @param open opens the model: its time counts as cold start
 */
fun benchmark(
    windows: List<FloatArray>,
    protocol: Protocol = Protocol(),
    clock: Clock = Clock.SYSTEM,
    onStage: (String) -> Unit = {},
    open: () -> Model,
): Measurements {
    ensure(windows.isNotEmpty()) { "a benchmark needs at least one window" }
    val begin = clock.nanoseconds()
    return Pipeline(open()).use { pipeline ->
        pipeline.classify(windows[0])
        val coldStart = (clock.nanoseconds() - begin) / 1e6
        val stages = LinkedHashMap<String, Timing>()

        fun stage(name: String, work: (Int) -> Unit) {
            onStage(name)
            stages[name] = measure(protocol, clock, work)
        }
        if (pipeline.info.form == Form.IMAGE) stage(Stage.CONVERT) { pipeline.convert(windows[it % windows.size]) }
        val inputs = windows.map { pipeline.convert(it).copyOf() }
        stage(Stage.INFERENCE) { pipeline.infer(inputs[it % inputs.size]) }
        stage(Stage.END_TO_END) { pipeline.classify(windows[it % windows.size]).label }
        Measurements(pipeline.info, protocol, coldStart, stages)
    }
}
