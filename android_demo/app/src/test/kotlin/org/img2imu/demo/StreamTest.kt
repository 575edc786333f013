package org.img2imu.demo

import android.hardware.Sensor
import org.img2imu.core.Golden
import org.img2imu.core.STANDARD_GRAVITY
import org.junit.Test
import kotlin.math.abs
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

/** The screens that label a stream, fed with a real recording. */
class StreamTest : AppTest() {
    /** What the live screen showed of each window. */
    private class Shown(val start: Double, val label: String, val confidence: String)

    private val seen = ArrayList<Shown>()

    /** Sends samples, and notes what is on the screen after each new window. */
    private fun feed(samples: IntRange) {
        for (index in samples) {
            sense(index)
            if (index % STEP == STEP - 1 || index == samples.last) settle()
            val moment = demo.live.state.value.moment ?: continue
            if (moment.start > (seen.lastOrNull()?.start ?: -1.0)) {
                seen += Shown(moment.start, shown(R.id.label), shown(R.id.confidence))
            }
        }
    }

    private fun assertSeen(expected: List<Expected>) {
        assertEquals(expected.size, seen.size)
        for ((found, wanted) in seen.zip(expected)) {
            assertEquals(wanted.start, found.start, 1e-6)
            assertEquals(wanted.label, found.label, "at ${wanted.start} s")
            if (wanted.label == Moment.UNKNOWN) {
                assertEquals("", found.confidence)
            } else {
                assertEquals(100 * wanted.confidence, found.confidence.removeSuffix(" %").toDouble(), 0.51)
            }
        }
    }

    @Test
    fun `the live screen shows Python's label for every window`() {
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        assertEquals("Filling the first window…", shown(R.id.label))
        feed(0 until recording.size)
        assertSeen(expected(Live.OVERLAP))
        assertEquals("Accelerometer at 50 Hz", shown(R.id.status))
    }

    @Test
    fun `a rotation loses no window, a pause only those it falls into`() {
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        feed(0 until 1000)
        controller.recreate()
        settle()
        assertEquals(seen.last().label, shown(R.id.label))
        feed(1000 until AWAY.first)
        controller.pause().stop()
        for (index in AWAY) sense(index)
        settle()
        controller.restart().start().resume()
        settle()
        feed(AWAY.last + 1 until recording.size)
        // Afterwards windows begin elsewhere, until the next exercise begins a new row of them.
        val (before, after) = expected(Live.OVERLAP).run {
            Pair(filter { it.start + 5 <= seconds(AWAY.first) }, filter { it.start >= seconds(NEXT_EXERCISE) })
        }
        val seenAfter = seen.filter { it.start >= seconds(NEXT_EXERCISE) - 1e-6 }
        assertEquals(before.map { it.label }, seen.filter { it.start + 5 <= seconds(AWAY.first) }.map { it.label })
        assertEquals(after.map { it.label }, seenAfter.map { it.label })
        assertTrue(before.size > 20 && after.size > 20)
    }

    @Test
    fun `without an accelerometer the screen says so, and the recording plays`() {
        launch()
        assertEquals("This phone has no accelerometer: see the recording instead", shown(R.id.label))
        open(Tab.RECORDING)
        click(R.id.play)
        elapse(6.0)
        assertEquals(expected(Playback.OVERLAP)[0].label, shown(R.id.label))
    }

    @Test
    fun `the recording plays on over a rotation and a pause, to Python's labels`() {
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        open(Tab.RECORDING)
        assertEquals("Play", shown(R.id.play))
        click(R.id.play)
        val labels = ArrayList<String>()
        val starts = ArrayList<Double>()
        var elapsed = 0.0
        while (demo.playback.state.value.playing) {
            elapse(0.5)
            elapsed += 0.5
            if (elapsed == 20.0) controller.recreate()
            if (elapsed == 40.0) {
                controller.pause().stop()
                elapse(30.0)
                controller.restart().start().resume()
                settle()
            }
            val moment = demo.playback.state.value.stream.moment ?: continue
            if (starts.lastOrNull() == moment.start) continue
            starts += moment.start
            labels += shown(R.id.label)
        }
        val expected = expected(Playback.OVERLAP)
        assertEquals(expected.map { it.label }, labels)
        assertTrue(expected.zip(starts).all { (one, start) -> abs(one.start - start) < 1e-6 })
        val right = demo.playback.state.value.right
        assertTrue("$right of ${expected.size} windows right" in shown(R.id.truth), shown(R.id.truth))
        assertTrue(right > expected.size / 2)
        assertEquals("Play", shown(R.id.play))
        assertNotNull(demo.playback.state.value.stream.moment)
    }

    /** Sends the golden window to both sensors, sample by sample. */
    private fun feed(golden: Golden, types: List<Int>) {
        val window = golden.windows[0]
        for (index in 0 until golden.samples) {
            val time = (index * 1e9 / golden.samplingRate).toLong()
            for ((sensor, type) in types.withIndex()) {
                val scale = if (type == Sensor.TYPE_ACCELEROMETER) STANDARD_GRAVITY else 1f
                sense(type, time, FloatArray(3) { window[(3 * sensor + it) * golden.samples + index] * scale })
            }
        }
        settle()
    }

    @Test
    fun `a model of two sensors reads both, and labels as Python does`() {
        val golden = useModel("sensors")
        BOTH.forEach(::add)
        launch()
        feed(golden, BOTH)
        assertEquals("Accelerometer at 50 Hz, gyroscope at 50 Hz", shown(R.id.status))
        val probabilities = golden.probabilities[0]
        val best = probabilities.indices.maxBy { probabilities[it] }
        assertEquals(golden.labels[best], shown(R.id.label))
        assertEquals(100.0 * probabilities[best], shown(R.id.confidence).removeSuffix(" %").toDouble(), 0.51)
        assertEquals(golden.views.size, demo.live.state.value.moment?.pictures?.size)
    }

    @Test
    fun `windows unlike what was learnt are unknown, once several come together`() {
        val golden = useModel("strange")
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        val said = ArrayList<Pair<String, String>>()
        var number = 0
        for (index in 0 until 2 * golden.samples) {
            val sample = FloatArray(3) { golden.windows[0][it * golden.samples + index % golden.samples] }
            val time = (index * 1e9 / golden.samplingRate).toLong()
            sense(Sensor.TYPE_ACCELEROMETER, time, FloatArray(3) { sample[it] * STANDARD_GRAVITY })
            if (index % STEP == STEP - 1) settle()
            val moment = demo.live.state.value.moment ?: continue
            if (moment.number > number) said += Pair(shown(R.id.label), shown(R.id.confidence))
            number = moment.number
        }
        // Nothing is known before the first window, so it takes one; the model calls every window strange.
        assertEquals(11, said.size)
        assertEquals(listOf(Pair("unknown", "")), said.distinct())
        assertTrue(demo.live.state.value.past.all { it.number == -1 })
    }

    @Test
    fun `the strip holds the labels of the last minute`() {
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        feed(0 until recording.size)
        val past = demo.live.state.value.past
        val expected = expected(Live.OVERLAP).filter { it.start + 5 >= past.last().end - 60 }
        assertEquals(expected.map { it.label }, past.map { it.label })
        assertTrue(past.last().end - past.first().end in 50.0..60.0)
        assertEquals(past.map { it.label }.distinct().size, past.map { it.number }.distinct().size)
    }

    @Test
    fun `a phone without a sensor of the model says so`() {
        useModel("sensors")
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        assertEquals("This phone has no gyroscope: see the recording instead", shown(R.id.label))
    }

    @Test
    fun `a sensor that sends nothing is told`() {
        val golden = useModel("sensors")
        BOTH.forEach(::add)
        launch()
        repeat(20) { feed(golden, BOTH.take(1)) }
        assertEquals("The gyroscope sends nothing", shown(R.id.label))
    }

    @Test
    fun `a missing model is told`() {
        assets.remove("model.onnx")
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        assertEquals("This app was built without model.onnx", shown(R.id.label))
    }

    @Test
    fun `a broken model is told`() {
        assets["model.onnx"] = assets.getValue("model.onnx").copyOf(1000)
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        assertTrue(shown(R.id.label).startsWith("ONNX Runtime cannot open the model"), shown(R.id.label))
        sense(0)
        settle()
    }

    @Test
    fun `a malformed recording is told with its line`() {
        assets["recording.csv"] = "t,x,y,z,label\n0,0,0,1,rest\n0.02,zero,0,1,rest\n".toByteArray()
        launch()
        open(Tab.RECORDING)
        click(R.id.play)
        assertEquals("recording.csv, line 3: x is not a number: \"zero\"", shown(R.id.label))
    }

    private fun seconds(index: Int) = recording.nanoseconds[index] / 1e9

    private companion object {
        val BOTH = listOf(Sensor.TYPE_ACCELEROMETER, Sensor.TYPE_GYROSCOPE)

        /** Samples while another app is in front, within an exercise, and the first of the next one. */
        val AWAY = 1600 until 1700
        const val NEXT_EXERCISE = 2250

        /** Samples between looks at the screen: no window begins within so few. */
        const val STEP = 5
    }
}
