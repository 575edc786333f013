package org.img2imu.core

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import org.junit.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class LatencyTest {
    /** A clock that only work moves on. */
    private class Stopped(private var now: Long = 7) : Clock {
        override fun nanoseconds() = now

        fun advance(milliseconds: Int) {
            now += milliseconds * 1_000_000L
        }
    }

    @Test
    fun `percentiles are numpy's`() {
        // numpy.percentile([15, 20, 35, 40, 50], [0, 40, 50, 90, 95, 100])
        val timing = Timing(longArrayOf(35_000_000, 20_000_000, 15_000_000, 50_000_000, 40_000_000))
        val percents = listOf(0.0, 40.0, 50.0, 90.0, 95.0, 100.0)
        percents.zip(listOf(15.0, 29.0, 35.0, 46.0, 48.0, 50.0)) { percent, expected ->
            assertEquals(expected, timing.percentile(percent), 1e-12)
        }
        assertEquals(32.0, timing.mean, 1e-12)
        assertEquals(50.0, timing.max)
        assertEquals(3.0, Timing(longArrayOf(3_000_000)).percentile(95.0))
        assertEquals(35_000_000, timing.nanoseconds[0])
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

    private fun measured(form: Form, windows: Int = 2): Pair<Measurements, StandInModel> {
        val clock = Stopped()
        val model = StandInModel(standInInfo(form)) { clock.advance(4) }
        val protocol = Protocol(warmUp = 2, runs = 5, seconds = 0.0)
        val measurements = benchmark(List(windows) { exampleWindow(100, it) }, protocol, clock) {
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
    fun `the report holds every run`() {
        val (measurements, _) = measured(Form.IMAGE)
        val device = mapOf("model" to "\"Pixel\"", "battery" to 0.5, "thermal" to null, "abis" to listOf("x86_64"))
        val report = Json.parseToJsonElement(reportJson(measurements, device, mapOf("threads" to 1)))

        fun at(vararg path: String) = path.fold(report) { at, name -> at.jsonObject.getValue(name) }

        fun text(vararg path: String) = at(*path).toString()

        assertEquals("1", text("format"))
        assertEquals("34.0", text("cold_start_ms"))
        assertEquals("\"\\\"Pixel\\\"\"", text("device", "model"))
        assertEquals("null", text("device", "thermal"))
        assertEquals("[\"x86_64\"]", text("device", "abis"))
        assertEquals("1", text("settings", "threads"))
        assertEquals("\"image\"", text("model", "form"))
        assertEquals("4.0", text("stages", "inference", "p95_ms"))
        assertEquals("5", text("protocol", "runs"))
        val samples = at("stages", "end_to_end", "samples_ns").jsonArray
        assertEquals(List(5) { 4_000_000L }, samples.map { it.jsonPrimitive.long })
    }
}
