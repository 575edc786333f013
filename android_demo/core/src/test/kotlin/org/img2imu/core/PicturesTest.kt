package org.img2imu.core

import org.junit.Test
import kotlin.math.exp
import kotlin.math.ln
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class PicturesTest {
    private fun drawn(view: View, window: FloatArray): FloatArray =
        FloatArray(3 * view.height * view.width).also { painter(view, window.size / 3).draw(window, it) }

    private fun assertAsDirectSum(view: SpectrogramView, window: FloatArray = exampleWindow()) =
        assertNear(AuthorsWay(view).draw(window), drawn(view, window), 1e-5, view.toString())

    @Test
    fun `pictures are Python's within a grey level`() {
        for (name in listOf("paper", "fast", "sensors")) {
            val result = selfTest(Golden.read(golden(name)))
            println("$name: $result")
            assertTrue(result.passed, "$name: $result")
            assertTrue(result.windows > 0 && result.images!! <= 1e-4 && result.greyLevels!! <= 1)
        }
    }

    @Test
    fun `a spectrogram of any settings is the direct sum`() {
        val base = SpectrogramView()
        for (view in listOf(
            base,
            base.copy(nfft = 32, noverlap = 16, width = 96, height = 72),
            base.copy(nfft = 33, noverlap = 1, width = 20, height = 50),
            base.copy(nfft = 4, noverlap = 0, width = 2, height = 2),
            base.copy(nfft = 128, noverlap = 112, detrend = true),
            base.copy(dynamicRange = 30.0),
            base.copy(normalize = Normalization.WINDOW, detrend = true),
            base.copy(normalize = Normalization.WINDOW, dynamicRange = 40.0),
            base.copy(normalize = Normalization.FIXED),
            base.copy(normalize = Normalization.FIXED, lowDb = -20.0, highDb = -10.0, floor = 1e-30),
            base.copy(samplingRate = 104.0, floor = 1e-4),
        )) assertAsDirectSum(view)
    }

    @Test
    fun `a short window is padded to one frame, beside gravity too`() {
        val window = exampleWindow(samples = 40)
        assertAsDirectSum(SpectrogramView(), window)
        assertAsDirectSum(SpectrogramView(detrend = true), window)
        assertAsDirectSum(SpectrogramView(), exampleWindow(samples = 1))
    }

    @Test
    fun `an axis without variation is black`() {
        val window = exampleWindow()
        window.fill(0f, 250, 500)
        window.fill(-0.98f, 500, 750)
        val picture = drawn(SpectrogramView(detrend = true), window)
        val size = 96 * 128
        assertTrue(picture.take(size).max() > 0.9f)
        assertTrue(picture.drop(size).all { it == 0f })
        for (normalize in Normalization.entries) {
            val silence = drawn(SpectrogramView(normalize = normalize, lowDb = -101.0), FloatArray(750))
            assertTrue(silence.all { it.isFinite() && it in 0f..1f }, "$normalize")
        }
    }

    @Test
    fun `a low tone is bright at the bottom`() {
        val window = FloatArray(750) { Math.sin(2 * Math.PI * 2 * (it % 250) / 50).toFloat() }
        val picture = drawn(SpectrogramView(), window)
        val rows = List(96) { y -> picture.slice(y * 128 until (y + 1) * 128).average() }
        // 2 Hz is bin 2.56 of 33 from the bottom.
        assertEquals(96 - 96 * 3.06 / 33, rows.indices.maxBy { rows[it] } + 0.5, 1.5)
    }

    @Test
    fun `a waveform is a sigmoid of its distance from the trace`() {
        for (view in listOf(
            WaveformView(),
            WaveformView(low = -0.25, high = 0.25, detrend = true, width = 96, height = 72),
            WaveformView(low = -1e-6, high = 1e-6, height = 1024, width = 300),
        )) {
            val window = exampleWindow()
            window[10] = 1e6f
            window[300] = -1e6f
            assertNear(waveform(view, window), drawn(view, window), 2e-5, view.toString())
        }
    }

    private fun waveform(view: WaveformView, window: FloatArray): FloatArray {
        val samples = window.size / 3
        val axes = List(3) { axis -> window.slice(axis * samples until (axis + 1) * samples).map(Float::toDouble) }
        val means = axes.map { if (view.detrend) it.average() else 0.0 }
        return FloatArray(3 * view.height * view.width) {
            val axis = it / (view.height * view.width)
            val x = ((it % view.width + 0.5) * samples / view.width - 0.5).coerceIn(0.0, samples - 1.0)
            val left = axes[axis][x.toInt()]
            val right = axes[axis][minOf(x.toInt() + 1, samples - 1)]
            val value = left + (x - x.toInt()) * (right - left) - means[axis]
            val level = 1 - it / view.width % view.height / (view.height - 1.0)
            (1 / (1 + exp((level - (value - view.low) / (view.high - view.low)) * view.height / 2))).toFloat()
        }
    }

    @Test
    fun `log2 is the logarithm`() {
        for (step in 0..100_000) {
            val value = exp(-69.0 + step * 138.0 / 100_000).toFloat()
            assertEquals(ln(value.toDouble()) / ln(2.0), log2(value).toDouble(), 1.5e-5)
        }
    }

    @Test
    fun `colours are opaque and rounded to the nearest`() {
        val pictures = Pictures(listOf(WaveformView(width = 2, height = 2), WaveformView(width = 2, height = 2)), 2)
        val second = floatArrayOf(1f, 0f, 0.5f, 0.1f, 0f, 1f, 0.5f, 0.2f, 0f, 0f, 0.5f, 0.3f)
        second.copyInto(pictures.levels, 12)
        val colours = IntArray(4)
        pictures.argb(1, colours)
        val expected = listOf(0xFFFF0000, 0xFF00FF00, 0xFF808080, 0xFF1A334D).map { it.toInt() }
        assertEquals(expected, colours.toList())
    }

    @Test
    fun `a window of another length is refused`() {
        val picture = FloatArray(3 * 96 * 128)
        for (view in listOf(SpectrogramView(), WaveformView())) {
            assertFailsWith<IllegalArgumentException> { painter(view, 250).draw(FloatArray(749), picture) }
            val pictures = Pictures(listOf(view), 250)
            for (size in listOf(749, 1500)) {
                assertFailsWith<IllegalArgumentException> { pictures.draw(FloatArray(size)) }
            }
        }
    }

    @Test
    fun `each view draws its own sensor`() {
        val (one, other) = List(2) { exampleWindow(seed = it) }
        val views = listOf(SpectrogramView(sensor = "gyro"), WaveformView(), WaveformView(sensor = "gyro"))
        val levels = Pictures(views, 250, listOf(ACCELEROMETER, Sensor("gyro"))).draw(one + other)
        val size = levels.size / 3
        for ((index, window) in listOf(other, one, other).withIndex()) {
            val alone = drawn(views[index], window)
            assertNear(alone, levels.copyOfRange(index * size, (index + 1) * size), 0.0)
        }
        assertMessage("draws the sensor gyro, and the windows are of accel") { Pictures(views, 250) }
    }

    @Test
    fun `drawing leaves no garbage`() {
        val golden = Golden.read(golden("fast"))
        val pictures = Pictures(golden.views + SpectrogramView(width = 64, height = 48), golden.samples)
        assertTrue(bytesPerRun(500) { pictures.draw(golden.windows[0]) } < 1)
    }

    @Test
    fun `views come from the model's JSON`() {
        val json = """[
            {"kind": "spectrogram", "sampling_rate": 20, "nfft": 32, "noverlap": 24, "detrend": true,
             "normalize": "fixed", "db_range": [-60, 0.5], "dynamic_range": 30.0, "floor": 1e-09,
             "width": 64, "height": 48},
            {"kind": "waveform", "sampling_rate": 20.0, "low": -0.25, "high": 0.5, "detrend": false,
             "width": 64, "height": 48, "sensor": "wrist.gyro"}]"""
        val expected = listOf(
            SpectrogramView(20.0, 32, 24, true, Normalization.FIXED, -60.0, 0.5, 30.0, 1e-9, 64, 48),
            WaveformView(20.0, -0.25, 0.5, false, 64, 48, "wrist.gyro"),
        )
        assertEquals(expected, parseViews(json))
        assertEquals(emptyList(), parseViews("[]"))
    }

    @Test
    fun `views that this version cannot draw are refused`() {
        val one = """
            {"kind": "waveform", "sampling_rate": 50, "low": -2, "high": 2, "detrend": false,
             "width": 8, "height": 6}"""

        fun refused(message: String, old: String, new: String) =
            assertMessage(message) { parseViews("[${one.replace(old, new)}]") }
        assertMessage("views is not JSON") { parseViews("[{") }
        assertMessage("views must be a JSON list") { parseViews("{}") }
        assertMessage("view 2 must be a JSON object, not 3") { parseViews("[$one, 3]") }
        assertMessage("one picture size") { parseViews("[$one, ${one.replace("8", "9")}]") }
        refused("unknown kind of view \"wavelet\"", "waveform", "wavelet")
        refused("unknown setting of a waveform view: colour", "{", "{\"colour\": 1,")
        refused("view 1: sensor must be a text", "{", "{\"sensor\": 3,")
        refused("view 1 has no high", "\"high\": 2,", "")
        refused("view 1: width must be a whole number, not \"8\"", "8", "\"8\"")
        refused("low must be below high", "-2", "2")
        refused("2 to 1024 pixels", "8", "1025")
        assertMessage("noverlap must lie between") { SpectrogramView(nfft = 32, noverlap = 32) }
    }
}
