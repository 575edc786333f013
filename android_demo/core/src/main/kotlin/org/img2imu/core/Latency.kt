package org.img2imu.core

import kotlin.math.ceil

/**
 * How the runs follow one another.
 *
 * @property key name in intents and reports
 * @property runs and [seconds] that it has at least, unless told otherwise
 */
enum class Mode(val key: String, val title: String, val runs: Int, val seconds: Double) {
    /** One after the other: the processor's clock is as high as it gets. */
    BURST("burst", "Burst", 200, 5.0),

    /** One for each hop of a window, as a real app has them: the clock drops in between. */
    PACED("paced", "Paced", 100, 60.0),

    /** One after the other for minutes: what is left when the phone is warm. */
    SUSTAINED("sustained", "Sustained", 200, 600.0),
    ;

    companion object {
        /** @throws InputError if there is none of that name */
        fun of(key: String): Mode = entries.find { it.key == key }
            ?: throw InputError("Unknown mode \"$key\"; known: ${entries.joinToString { it.key }}")
    }
}

/**
 * How latency is measured.
 *
 * @property warmUp runs before the first one that counts
 * @property runs at least so many count
 * @property seconds and at least for so long
 * @property coolDown seconds to wait before, and longer while the phone is warm
 */
data class Protocol(
    val warmUp: Int = 20,
    val runs: Int = Mode.BURST.runs,
    val seconds: Double = Mode.BURST.seconds,
    val coolDown: Double = 0.0,
    val mode: Mode = Mode.BURST,
) {
    init {
        ensure(warmUp >= 0) { "warm-up must not be negative: $warmUp" }
        ensure(runs in 1..MAX_RUNS) { "runs must lie between 1 and $MAX_RUNS, not $runs" }
        ensure(seconds in 0.0..3600.0) { "seconds must lie between 0 and 3600, not $seconds" }
        ensure(coolDown in 0.0..3600.0) { "the cool-down must last between 0 and 3600 seconds, not $coolDown" }
    }

    private companion object {
        const val MAX_RUNS = 1_000_000
    }
}

/** A clock in nanoseconds that never steps back, and waits. */
interface Clock {
    fun nanoseconds(): Long

    /** Returns after so long; at once if that is not positive. */
    fun sleep(nanoseconds: Long)
}

object SystemClock : Clock {
    override fun nanoseconds() = System.nanoTime()

    override fun sleep(nanoseconds: Long) {
        if (nanoseconds > 0) Thread.sleep(nanoseconds / 1_000_000, (nanoseconds % 1_000_000).toInt())
    }
}

/**
 * Every run of one stage, in nanoseconds, in the order of time.
 *
 * @property seconds from the first run's begin to the last one's end
 */
class Timing(val nanoseconds: LongArray, val seconds: Double = nanoseconds.sum() / 1e9) {
    private val sorted = nanoseconds.sortedArray()

    init {
        require(nanoseconds.isNotEmpty()) { "no runs" }
    }

    /** Milliseconds that a share of [percent] of the runs does not exceed, by nearest rank. */
    fun percentile(percent: Double): Double {
        val rank = ceil(percent / 100 * sorted.size).toInt()
        return sorted[maxOf(rank, 1) - 1] / 1e6
    }

    /** How many runs fall into each of [bars] equal spans from the least to p99; longer ones into the last. */
    fun histogram(bars: Int): Histogram {
        val low = percentile(0.0)
        val high = percentile(99.0)
        val counts = IntArray(bars)
        for (one in sorted) {
            val place = if (high > low) (one / 1e6 - low) / (high - low) * bars else 0.0
            counts[place.toInt().coerceIn(0, bars - 1)]++
        }
        return Histogram(low, high, counts)
    }

    val mean get() = nanoseconds.average() / 1e6
    val max get() = sorted.last() / 1e6
}

/** Numbers of runs in equal spans between two latencies in milliseconds. */
class Histogram(val low: Double, val high: Double, val counts: IntArray)

/**
 * Times a piece of work by the protocol.
 *
 * @param hop seconds from one run's begin to the next one's; 0 for one after the other
 * @param between called between two runs, once a second, with the seconds and runs so far; it may throw to stop
 * @param work told the number of its run, from 0; warm-up counts too
 */
fun measure(
    protocol: Protocol,
    clock: Clock = SystemClock,
    hop: Double = 0.0,
    between: (Double, Int) -> Unit = { _, _ -> },
    work: (Int) -> Unit,
): Timing {
    for (run in 0 until protocol.warmUp) work(run)
    val enough = (protocol.seconds * 1e9).toLong()
    val interval = (hop * 1e9).toLong()
    var samples = LongArray(maxOf(1024, protocol.runs))
    var count = 0
    var looked = 0L
    val begin = clock.nanoseconds()
    do {
        if (count == samples.size) samples = samples.copyOf(2 * count)
        if (interval > 0) clock.sleep(begin + count * interval - clock.nanoseconds())
        val before = clock.nanoseconds()
        work(protocol.warmUp + count)
        val after = clock.nanoseconds()
        samples[count++] = after - before
        if (after - begin - looked >= 1_000_000_000) {
            looked = after - begin
            between(looked / 1e9, count)
        }
    } while (count < protocol.runs || after - begin < enough)
    return Timing(samples.copyOf(count), (clock.nanoseconds() - begin) / 1e9)
}

/** Names of the stages of a benchmark. */
object Stage {
    /** Waiting for the phone to be cool. */
    const val COOL_DOWN = "cool_down"

    /** Window to pictures; missing where the model draws them itself. */
    const val CONVERT = "convert"

    /** What the model gets, to its answer. */
    const val INFERENCE = "inference"

    /** Window to label. */
    const val END_TO_END = "end_to_end"

    /** The same in the first and in the last half minute of a sustained run. */
    const val FIRST = "first"
    const val LAST = "last"
}

/**
 * What a benchmark measured.
 *
 * @property model what the model says about itself
 * @property coldStart milliseconds from opening the model to its first answer
 * @property stages by name
 * @property conditions under which it was measured
 * @property curve of a sustained run, a point for each second; else empty
 * @property whole every run from window to label
 */
class Measurements(
    val model: ModelInfo,
    val protocol: Protocol,
    val coldStart: Double,
    val stages: Map<String, Timing>,
    val conditions: Conditions,
    val curve: List<Point>,
    val whole: Timing,
)

/**
 * One second of a sustained run.
 *
 * @property seconds since its begin
 * @property p50 and [p90], milliseconds
 */
class Point(val seconds: Double, val runs: Int, val p50: Double, val p90: Double, val state: State)

/** Seconds between two windows of a live classifier: what is paced. */
fun hop(info: ModelInfo): Double = stride(info.samples, LIVE_OVERLAP) / info.samplingRate

/** Of a live classifier's windows. */
const val LIVE_OVERLAP = 0.9

private const val HALF_MINUTE = 30.0

/**
 * Opens a model once and measures it, stage after stage.
 *
 * @param windows for the model, taken in turn; at least one
 * @param machine looked at between the runs
 * @param onProgress told the stage and its seconds so far, once a second; it may throw to stop
 * @param open opens the model: its time counts as cold start
 */
fun benchmark(
    windows: (ModelInfo) -> List<FloatArray>,
    protocol: Protocol = Protocol(),
    machine: Machine,
    clock: Clock = SystemClock,
    onProgress: (String, Double) -> Unit = { _, _ -> },
    open: () -> Model,
): Measurements {
    val watch = Watch(machine, clock, onProgress)
    watch.coolDown(protocol.coolDown)
    watch.begin()
    val begin = clock.nanoseconds()
    return Pipeline(open()).use { pipeline ->
        val opened = clock.nanoseconds()
        val given = windows(pipeline.info)
        ensure(given.isNotEmpty()) { "a benchmark needs at least one window" }
        val ready = clock.nanoseconds()
        pipeline.classify(given[0])
        val coldStart = (clock.nanoseconds() - ready + opened - begin) / 1e6
        watch.opened()
        val stages = Stages(protocol, clock, watch)
        when (protocol.mode) {
            Mode.BURST -> stages.burst(pipeline, given)
            Mode.PACED -> stages.time(Stage.END_TO_END, hop(pipeline.info)) { pipeline.classify(given[it % given.size]) }
            Mode.SUSTAINED -> stages.sustain { pipeline.classify(given[it % given.size]) }
        }
        val conditions = watch.end(stages.runs)
        Measurements(pipeline.info, protocol, coldStart, stages.found, conditions, stages.curve, stages.whole)
    }
}

private class Stages(private val protocol: Protocol, private val clock: Clock, private val watch: Watch) {
    val found = LinkedHashMap<String, Timing>()
    var curve = emptyList<Point>()
    lateinit var whole: Timing
    var runs = 0

    fun burst(pipeline: Pipeline, windows: List<FloatArray>) {
        if (pipeline.info.form == Form.IMAGE) time(Stage.CONVERT) { pipeline.convert(windows[it % windows.size]) }
        val inputs = windows.map { pipeline.convert(it).copyOf() }
        time(Stage.INFERENCE) { pipeline.infer(inputs[it % inputs.size]) }
        time(Stage.END_TO_END) { pipeline.classify(windows[it % windows.size]).label }
    }

    fun time(name: String, hop: Double = 0.0, work: (Int) -> Unit) {
        watch.look(name, 0.0)
        whole = measure(protocol, clock, hop, { seconds, _ -> watch.look(name, seconds) }, work)
        runs += whole.nanoseconds.size
        found[name] = whole
    }

    fun sustain(work: (Int) -> Unit) {
        class Mark(val seconds: Double, val runs: Int, val state: State)
        val marks = arrayListOf(Mark(0.0, 0, watch.look(Stage.END_TO_END, 0.0)))
        whole = measure(
            protocol,
            clock,
            between = { seconds, runs -> marks += Mark(seconds, runs, watch.look(Stage.END_TO_END, seconds)) },
            work = work,
        )
        runs = whole.nanoseconds.size
        if (marks.last().runs < runs) marks += Mark(whole.seconds, runs, watch.look(Stage.END_TO_END, whole.seconds))
        fun between(from: Mark, to: Mark) =
            Timing(whole.nanoseconds.copyOfRange(from.runs, to.runs), to.seconds - from.seconds)
        curve = marks.zipWithNext { from, to ->
            between(from, to).run { Point(to.seconds, to.runs - from.runs, percentile(50.0), percentile(90.0), to.state) }
        }
        val length = minOf(HALF_MINUTE, whole.seconds / 2)
        found[Stage.FIRST] = between(marks.first(), marks.drop(1).first { it.seconds >= length })
        found[Stage.LAST] = between(marks.dropLast(1).last { it.seconds <= whole.seconds - length }, marks.last())
    }
}
