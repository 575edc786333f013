package org.img2imu.core

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import org.junit.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** A clock that only work and sleep move on. */
class Stopped(private var now: Long = 7) : Clock {
    override fun nanoseconds() = now

    override fun sleep(nanoseconds: Long) {
        now += maxOf(0, nanoseconds)
    }

    fun advance(milliseconds: Int) {
        now += milliseconds * 1_000_000L
    }
}

/** A phone whose state follows from the time. */
class StandInMachine(
    override var memory: Long? = null,
    override var charge: Charge? = null,
    private val at: () -> State = { COOL },
) : Machine {
    override val state get() = at()

    companion object {
        val COOL = State(0, 0.5, powerSave = false, inForeground = true)
    }
}

class LatencyTest {
    @Test
    fun `percentiles are of nearest rank`() {
        // numpy.percentile([15, 20, 35, 40, 50], [0, 30, 40, 50, 90, 100], method="inverted_cdf")
        val timing = Timing(longArrayOf(35_000_000, 20_000_000, 15_000_000, 50_000_000, 40_000_000))
        val percents = listOf(0.0, 30.0, 40.0, 50.0, 90.0, 100.0)
        percents.zip(listOf(15.0, 20.0, 20.0, 35.0, 50.0, 50.0)) { percent, expected ->
            assertEquals(expected, timing.percentile(percent), 1e-12)
        }
        assertEquals(32.0, timing.mean, 1e-12)
        assertEquals(50.0, timing.max)
        assertEquals(3.0, Timing(longArrayOf(3_000_000)).percentile(95.0))
        assertEquals(35_000_000, timing.nanoseconds[0])
    }

    @Test
    fun `a histogram counts every run once, the slowest in its last bar`() {
        // 1 to 200 ms, one each: the least is 1, p99 is 198.
        val histogram = Timing(LongArray(200) { (it + 1) * 1_000_000L }).histogram(4)
        assertEquals(1.0 to 198.0, histogram.low to histogram.high)
        assertContentEquals(intArrayOf(50, 49, 49, 52), histogram.counts)
        assertContentEquals(intArrayOf(3, 0, 0), Timing(LongArray(3) { 5 }).histogram(3).counts)
    }

    @Test
    fun `warm-up does not count, and runs and seconds are both kept`() {
        val clock = Stopped()
        val runs = ArrayList<Int>()
        fun measured(protocol: Protocol, milliseconds: Int) = runs.clear().let {
            measure(protocol, clock) { run ->
                runs += run
                clock.advance(if (run < protocol.warmUp) 900 else milliseconds)
            }
        }
        assertEquals(200, measured(Protocol(), 100).nanoseconds.size)
        assertEquals((0 until 220).toList(), runs)
        val fast = measured(Protocol(), 1)
        assertEquals(5000, fast.nanoseconds.size)
        assertTrue(fast.nanoseconds.all { it == 1_000_000L })
        assertEquals(1, measured(Protocol(0, 1, 0.0), 1).nanoseconds.size)
    }

    @Test
    fun `a protocol must make sense`() {
        assertMessage("runs must lie between") { Protocol(runs = 0) }
        assertMessage("warm-up must not be negative") { Protocol(warmUp = -1) }
        assertMessage("seconds must lie between") { Protocol(seconds = Double.NaN) }
    }

    private val brief = Protocol(warmUp = 2, runs = 5, seconds = 0.0)

    private fun measured(
        form: Form,
        windows: Int = 2,
        protocol: Protocol = brief,
        clock: Stopped = Stopped(),
        machine: Machine = StandInMachine(),
        milliseconds: () -> Int = { 4 },
    ): Pair<Measurements, StandInModel> {
        val model = StandInModel(standInInfo(form)) { clock.advance(milliseconds()) }
        val given = List(windows) { exampleWindow(100, it) }
        val measurements = benchmark({ given }, protocol, machine, clock) {
            clock.advance(30)
            model
        }
        return measurements to model
    }

    @Test
    fun `a model is opened once, measured stage by stage and closed`() {
        val (image, model) = measured(Form.IMAGE)
        assertEquals(listOf(Stage.CONVERT, Stage.INFERENCE, Stage.END_TO_END), image.stages.keys.toList())
        assertEquals(34.0, image.coldStart)
        assertEquals(0.0, image.stages.getValue(Stage.CONVERT).max)
        assertEquals(4.0, image.stages.getValue(Stage.INFERENCE).percentile(50.0))
        assertTrue(model.closed)
        assertEquals(1 + 2 * 7, model.inputs.size)
        assertTrue(model.inputs[0].contentEquals(model.inputs[1]) && !model.inputs[1].contentEquals(model.inputs[2]))
        val (whole, _) = measured(Form.END_TO_END)
        assertEquals(listOf(Stage.INFERENCE, Stage.END_TO_END), whole.stages.keys.toList())
        assertMessage("at least one window") { measured(Form.IMAGE, windows = 0) }
    }

    @Test
    fun `paced runs begin one hop after another`() {
        val clock = Stopped()
        val begins = ArrayList<Long>()
        val paced = Protocol(warmUp = 0, runs = 10, seconds = 3.0, mode = Mode.PACED)
        val late = { if (begins.size == 4) 450 else 4 }
        val (found, _) = measured(Form.END_TO_END, protocol = paced, clock = clock) {
            begins += clock.nanoseconds() / 1_000_000
            late()
        }
        // 100 samples at 50 Hz, windows that overlap by nine tenths: a hop of 0.2 s. The first answer is the cold start.
        assertEquals(0.2, hop(found.model), 1e-12)
        val timing = found.stages.getValue(Stage.END_TO_END)
        val after = begins.drop(1).map { it - begins[1] }
        assertEquals(listOf(0L, 200, 400, 850, 854, 1000, 1200), after.take(7))
        assertEquals(16, timing.nanoseconds.size)
        assertEquals(3.004, timing.seconds, 1e-9)
        assertEquals(450.0, timing.max)
        assertEquals(setOf(Stage.END_TO_END), found.stages.keys)
    }

    @Test
    fun `a sustained run compares its ends and draws its seconds`() {
        val clock = Stopped()
        val begin = clock.nanoseconds()
        val seconds = { (clock.nanoseconds() - begin) / 1e9 }
        // From 10 ms to 20 ms after five minutes, when the phone says that it is warm.
        val machine = StandInMachine {
            State(if (seconds() < 300) 0 else 2, seconds() / 600, powerSave = false, inForeground = true)
        }
        val sustained = Protocol(warmUp = 0, seconds = 600.0, mode = Mode.SUSTAINED)
        val (found, _) = measured(Form.END_TO_END, protocol = sustained, clock = clock, machine = machine) {
            if (seconds() < 300) 10 else 20
        }
        assertEquals(10.0, found.stages.getValue(Stage.FIRST).percentile(50.0))
        assertEquals(20.0, found.stages.getValue(Stage.LAST).percentile(90.0))
        for (stage in found.stages.values) assertEquals(30.0, stage.seconds, 0.1)
        assertEquals(600, found.curve.size)
        assertEquals(found.whole.nanoseconds.size, found.curve.sumOf { it.runs })
        assertEquals(listOf(0, 2), found.curve.mapNotNull { it.state.thermal }.distinct())
        assertEquals(0.5, found.curve.first { it.state.thermal == 2 }.state.headroom!!, 0.01)
        assertEquals(0 to 2, found.conditions.run { before.thermal to hottest })
    }

    @Test
    fun `a short sustained run compares its halves`() {
        val clock = Stopped()
        var run = 0
        val brief = Protocol(warmUp = 0, runs = 1, seconds = 4.0, mode = Mode.SUSTAINED)
        val (found, _) = measured(Form.END_TO_END, protocol = brief, clock = clock) { if (run++ < 21) 100 else 200 }
        assertEquals(100.0, found.stages.getValue(Stage.FIRST).mean)
        assertEquals(200.0, found.stages.getValue(Stage.LAST).mean)
        val one = Protocol(warmUp = 0, runs = 1, seconds = 0.0, mode = Mode.SUSTAINED)
        assertEquals(1, measured(Form.END_TO_END, protocol = one).first.curve.size)
    }

    @Test
    fun `the report holds every run`() {
        val (measurements, _) = measured(Form.IMAGE)
        val device = mapOf("model" to "\"Pixel\"", "battery" to 0.5, "soc" to null, "abis" to listOf("x86_64"))
        val verdict = Verdict(Execution(2), null, null, 1000, measurements)
        val report = Json.parseToJsonElement(reportJson(measurements, verdict, device, mapOf("file" to "m.onnx")))

        fun at(vararg path: String) = path.fold(report) { at, name -> at.jsonObject.getValue(name) }

        fun text(vararg path: String) = at(*path).toString()

        assertEquals("2", text("format"))
        assertEquals("34.0", text("cold_start_ms"))
        assertEquals("\"\\\"Pixel\\\"\"", text("device", "model"))
        assertEquals("null", text("device", "soc"))
        assertEquals("\"none\"", text("device", "thermal", "hottest"))
        assertEquals("[\"x86_64\"]", text("device", "abis"))
        assertEquals("2", text("settings", "threads"))
        assertEquals("\"m.onnx\"", text("settings", "file"))
        assertEquals("\"image\"", text("model", "form"))
        assertEquals("4.0", text("stages", "inference", "p95_ms"))
        assertEquals("5", text("protocol", "runs"))
        assertEquals("\"burst\"", text("protocol", "mode"))
        assertEquals("false", text("validity", "valid"))
        assertEquals("\"not counted by this phone\"", text("energy", "note"))
        val samples = at("stages", "end_to_end", "samples_ns").jsonArray
        assertEquals(List(5) { 4_000_000L }, samples.map { it.jsonPrimitive.long })
        assertEquals("[]", text("curve"))
    }
}
