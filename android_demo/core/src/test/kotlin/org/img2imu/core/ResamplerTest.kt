package org.img2imu.core

import org.junit.Test
import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.roundToLong
import kotlin.math.sin
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class ResamplerTest {
    /** What comes out of a resampler and its window buffer. */
    private class Recorder : UniformSink, WindowListener {
        val starts = ArrayList<Double>()
        val counts = ArrayList<Int>()
        val values = ArrayList<Float>()
        val windows = ArrayList<FloatArray>()
        val windowStarts = ArrayList<Double>()
        var buffer: WindowBuffer? = null

        override fun begin(start: Double) {
            starts += start
            counts += 0
            buffer?.begin(start)
        }

        override fun sample(values: FloatArray) {
            counts[counts.size - 1]++
            this.values += values.asList()
            buffer?.sample(values)
        }

        override fun onWindow(start: Double, window: FloatArray) {
            windowStarts += start
            windows += window.copyOf()
        }
    }

    private fun resample(
        rateIn: Double,
        rateOut: Double,
        times: List<Double>,
        maxGap: Double = defaultMaxGap(rateIn),
        value: (Double) -> Float,
    ) = Recorder().also { recorder ->
        val resampler = Resampler(listOf(Sampling(rateIn, maxGap)), rateOut, recorder)
        for (time in times) value(time).let { resampler.push(0, (time * 1e9).roundToLong(), it, -it, 1f) }
        resampler.finish()
    }

    private fun times(count: Int, rate: Double, first: Double = 0.0) = List(count) { first + it / rate }

    @Test
    fun `an irregular recording gives Python's samples and windows, each when it is due`() {
        val folder = GoldenFolder(golden("resampling"))
        val inputs = folder.settings.nested("arrays")
        val time = folder.doubles(inputs, "time")
        val samples = folder.rows(inputs, "samples")
        val tolerance = folder.settings.nested("tolerance")
        val cases = folder.settings.list("cases").map { Settings.of("case", it) }
        assertTrue(cases.size >= 3)
        for (case in cases) {
            val recorder = Recorder()
            val rate = case.number("sampling_rate")
            recorder.buffer = WindowBuffer(case.whole("samples"), case.whole("stride"), rate, listener = recorder)
            val sampling = Sampling(case.number("rate"), case.number("max_gap"))
            val resampler = Resampler(listOf(sampling), rate, recorder)
            val due = ArrayList<Int>()
            for (row in time.indices) {
                val (x, y, z) = samples[row]
                resampler.push(0, (time[row] * 1e9).roundToLong(), x, y, z)
                while (due.size < recorder.windows.size) due += row
            }
            resampler.finish()
            while (due.size < recorder.windows.size) due += time.size

            val arrays = case.nested("arrays")
            val values = folder.rows(arrays, "values")
            val segments = case.list("segments").map { Settings.of("segment", it) }
            val start = tolerance.number("start")
            assertEquals(segments.map { it.whole("count") }, recorder.counts)
            segments.zip(recorder.starts) { segment, found ->
                assertEquals(segment.number("start") - time[0], found, start)
            }
            val flat = values.flatMap { it.asList() }.toFloatArray()
            assertNear(flat, recorder.values.toFloatArray(), tolerance.number("values"), "$rate Hz")
            val windows = folder.rows(arrays, "windows")
            assertEquals(windows.size, recorder.windows.size)
            windows.zip(recorder.windows) { expected, found -> assertNear(expected, found, tolerance.number("values")) }
            folder.doubles(arrays, "start").zip(recorder.windowStarts.toDoubleArray()) { expected, found ->
                assertEquals(expected, found, start)
            }
            assertEquals(case.wholes("due"), due, "$rate Hz")
            val worst = flat.indices.maxOf { abs(flat[it] - recorder.values[it]) }
            println("${case.number("rate")} to $rate Hz: ${windows.size} windows, values within $worst")
        }
    }

    @Test
    fun `a slow tone keeps its amplitude and a fast one is gone`() {
        fun amplitude(frequency: Double): Float {
            val recorder = resample(200.0, 50.0, times(4000, 200.0)) { sin(2 * PI * frequency * it).toFloat() }
            assertEquals(1000, recorder.values.size / 3)
            return recorder.values.filterIndexed { index, _ -> index % 3 == 0 }.drop(100).dropLast(100).max()
        }
        assertEquals(1f, amplitude(3.7), 0.01f)
        assertTrue(amplitude(40.0) < 0.01f)
    }

    @Test
    fun `gravity stays exactly what it is`() {
        for (rate in listOf(40.0, 100.0, 104.0, 12.5, 417.0)) {
            val recorder = resample(rate, 50.0, times(3000, rate)) { 0.98f }
            for ((x, y, z) in recorder.values.chunked(3)) {
                assertEquals(0.98f, x, 2e-7f, "$rate Hz")
                assertEquals(1f, z, 2e-7f, "$rate Hz")
                assertEquals(-x, y)
            }
        }
    }

    @Test
    fun `time that jumps or stands still`() {
        val time = times(10, 50.0, 7.0) + 7.18 + 7.1 + times(5, 50.0, 9.0) + times(3, 50.0, 2.0)
        val recorder = resample(50.0, 50.0, time) { 1f }
        assertEquals(listOf(10, 5, 3), recorder.counts)
        recorder.starts.zip(listOf(0.0, 2.0, -5.0)) { found, expected -> assertEquals(expected, found, 1e-9) }
    }

    @Test
    fun `what is of no use is counted`() {
        val resampler = Resampler(listOf(Sampling(50.0)), 50.0, Recorder())
        resampler.push(0, 0, 0f, 0f, 0f)
        resampler.push(0, 20_000_000, Float.NaN, 0f, 0f)
        resampler.push(0, 20_000_000, 0f, Float.POSITIVE_INFINITY, 0f)
        resampler.push(0, 20_000_000, 0f, 0f, 1f)
        resampler.push(0, 20_000_000, 0f, 0f, 1f)
        assertEquals(5, resampler.received)
        assertEquals(3, resampler.dropped)
    }

    @Test
    fun `a second recording begins anew`() {
        val recorder = Recorder()
        recorder.buffer = WindowBuffer(4, 2, 50.0, listener = recorder)
        val resampler = Resampler(listOf(Sampling(50.0)), 50.0, recorder)
        repeat(2) { recording ->
            for (index in 0 until 7L) {
                resampler.push(0, recording * 1000L + index * 20_000_000, index.toFloat(), 0f, 0f)
            }
            resampler.finish()
        }
        assertEquals(listOf(0.0, 0.04, 0.0, 0.04), recorder.windowStarts)
        assertEquals(listOf(2f, 3f, 4f, 5f), recorder.windows[3].take(4))
        resampler.finish()
        assertEquals(4, recorder.windows.size)
    }

    @Test
    fun `rates become fractions of integers up to a thousand`() {
        assertEquals(Ratio(1, 1), Ratio.of(50.0, 50.0))
        assertEquals(Ratio(1, 2), Ratio.of(100.0, 50.0))
        assertEquals(Ratio(25, 52), Ratio.of(104.0, 50.0))
        assertEquals(Ratio(4, 1), Ratio.of(12.5, 50.0))
        assertEquals(Ratio(500, 997), Ratio.of(99.7, 50.0))
        assertEquals(Ratio(1, 1000), Ratio.of(1000.0, 1.0))
        assertMessage("more than 1000-fold") { Ratio.of(1001.0, 1.0) }
        assertMessage("positive number of hertz, not NaN") { Ratio.of(Double.NaN, 50.0) }
        assertMessage("longest gap") { Resampler(listOf(Sampling(50.0, 0.0)), 50.0, Recorder()) }
        assertMessage("overlap must be") { stride(250, 1.0) }
        val strides = listOf(stride(250, 0.0), stride(250, 0.5), stride(25, 0.5), stride(2, 0.9))
        assertEquals(listOf(250, 125, 12, 1), strides)
    }

    @Test
    fun `two sensors with a clock of their own each give Python's windows, each when it is due`() {
        val folder = GoldenFolder(golden("clocks"))
        val inputs = folder.settings.nested("arrays")
        val sensor = folder.rows(inputs, "sensor").map { it.single().toInt() }
        val time = folder.doubles(inputs, "time")
        val samples = folder.rows(inputs, "samples")
        val tolerance = folder.settings.nested("tolerance")
        for (case in folder.settings.list("cases").map { Settings.of("case", it) }) {
            val recorder = Recorder()
            val rate = case.number("sampling_rate")
            recorder.buffer = WindowBuffer(case.whole("samples"), case.whole("stride"), rate, 6, recorder)
            val samplings = case.numbers("rates").zip(case.numbers("max_gaps")) { one, gap -> Sampling(one, gap) }
            val resampler = Resampler(samplings, rate, recorder)
            val due = ArrayList<Int>()
            for (row in time.indices) {
                val (x, y, z) = samples[row]
                resampler.push(sensor[row], (time[row] * 1e9).roundToLong(), x, y, z)
                while (due.size < recorder.windows.size) due += row
            }
            resampler.finish()
            while (due.size < recorder.windows.size) due += time.size

            assertEquals(case.wholes("due"), due, "$rate Hz")
            val arrays = case.nested("arrays")
            folder.rows(arrays, "windows").zip(recorder.windows) { expected, found ->
                assertNear(expected, found, tolerance.number("values"), "$rate Hz")
            }
            folder.doubles(arrays, "start").zip(recorder.windowStarts.toDoubleArray()) { expected, found ->
                assertEquals(expected, found, tolerance.number("start"))
            }
        }
    }

    @Test
    fun `how two sensors are interleaved does not matter`() {
        fun windows(behind: Int): List<FloatArray> {
            val recorder = Recorder()
            recorder.buffer = WindowBuffer(50, 25, 50.0, 6, recorder)
            val resampler = Resampler(listOf(Sampling(50.0), Sampling(104.0)), 50.0, recorder)
            // One sample in a hundred of the first sensor, and a second now and then, is missing.
            for (index in 0 until 1000 + behind) {
                val first = index * 20_000_000L
                if (index < 1000 && index % 100 != 50 && index % 400 > 60) {
                    resampler.push(0, first, index.toFloat(), 0f, 1f)
                }
                for (each in 2 * (index - behind) until 2 * (index - behind) + 2) {
                    if (each >= 0) resampler.push(1, 5_000_000L + each * 9_615_385L, each.toFloat(), 0f, 1f)
                }
            }
            resampler.finish()
            return recorder.windows
        }
        val expected = windows(0)
        assertTrue(expected.size > 10)
        for (behind in listOf(7, 100, 400)) {
            val found = windows(behind)
            assertEquals(expected.size, found.size)
            expected.zip(found) { one, other -> assertNear(one, other, 0.0) }
        }
    }

    @Test
    fun `a stream leaves no garbage`() {
        for (rates in listOf(listOf(50.0), listOf(104.0), listOf(417.0), listOf(104.0, 50.0, 25.0))) {
            val buffer = WindowBuffer(250, 25, 50.0, 3 * rates.size) { _, _ -> }
            val resampler = Resampler(rates.map { Sampling(it) }, 50.0, buffer)
            val samples = LongArray(rates.size)
            // Of each thousand samples, the last ones come after a gap.
            val bytes = bytesPerRun(100_000) {
                for (sensor in samples.indices) {
                    val sample = samples[sensor]++
                    val time = (sample * 1e9 / rates[0]).toLong() + sample / 1000 * 1_000_000_000
                    resampler.push(sensor, time, 0f, 0.5f, 1f)
                }
            }
            assertTrue(bytes < 0.1, "$bytes bytes for each sample at $rates Hz")
        }
    }
}
