package org.img2imu.core

import org.junit.Test
import java.io.File
import kotlin.math.roundToLong
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** Answers by the mean of its input; remembers what it was given. */
class StandInModel(override val info: ModelInfo, private val onRun: () -> Unit = {}) : Model {
    val inputs = ArrayList<FloatArray>()
    var closed = false
    private val answer = Answer(info.labels)

    override fun run(input: FloatArray): Answer {
        onRun()
        if (inputs.size < 100) inputs += input.copyOf()
        answer.probabilities[0] = if (input.average() > 0) 0.75f else 0.25f
        answer.probabilities[1] = 1 - answer.probabilities[0]
        return answer
    }

    override fun close() {
        closed = true
    }
}

fun standInInfo(form: Form, samples: Int = 100): ModelInfo {
    val view = SpectrogramView(nfft = 32, noverlap = 16, width = 8, height = 6)
    return ModelInfo(listOf("up", "down"), 50.0, samples, listOf(view), form)
}

class PipelineTest {
    @Test
    fun `a recording through the app's classes gets Python's labels`() {
        val windows = GoldenFolder(golden("resampling"))
        val inputs = windows.settings.nested("arrays")
        val time = windows.doubles(inputs, "time")
        val samples = windows.rows(inputs, "samples")
        val cases = windows.settings.list("cases").map { Settings.of("case", it) }
        val case = cases.first { it.number("sampling_rate") == 50.0 }
        val model = StandInModel(standInInfo(Form.END_TO_END, case.whole("samples")))
        val starts = ArrayList<Double>()
        Pipeline(model).use { pipeline ->
            val live = LiveClassifier(pipeline, listOf(case.number("rate"))) { start, _, _ -> starts += start }
            for (row in time.indices) {
                val (x, y, z) = samples[row]
                live.push(0, (time[row] * 1e9).roundToLong(), x, y, z)
            }
            live.finish()
        }
        assertTrue(model.closed)
        val expected = windows.rows(case.nested("arrays"), "windows")
        assertEquals(expected.size, model.inputs.size)
        expected.zip(model.inputs) { window, found -> assertNear(window, found, 1e-5) }
        windows.doubles(case.nested("arrays"), "start").zip(starts.toDoubleArray()) { start, found ->
            assertEquals(start, found, 1e-6)
        }
    }

    @Test
    fun `golden windows streamed sample by sample keep their answers`() {
        for (folder in modelFolders()) {
            val golden = Golden.read(folder(folder))
            for (name in listOf("model.onnx", "model.image.onnx")) {
                val logits = ArrayList<FloatArray>()
                Pipeline(OnnxModel.open(File(folder, name).path)).use { pipeline ->
                    val rates = List(golden.sensors.size) { golden.samplingRate }
                    val live = LiveClassifier(pipeline, rates, overlap = 0.0) { _, _, answer ->
                        logits += answer.logits.copyOf()
                    }
                    golden.windows.forEachIndexed { number, window -> stream(live, window, number, golden) }
                    live.finish()
                }
                assertEquals(golden.logits.size, logits.size)
                golden.logits.zip(logits) { expected, found -> assertNear(expected, found, 2e-4, "$folder $name") }
            }
        }
    }

    private fun stream(live: LiveClassifier, window: FloatArray, number: Int, golden: Golden) {
        val samples = golden.samples
        for (index in 0 until samples) {
            val time = ((number * samples + index) * 1e9 / golden.samplingRate).roundToLong()
            for (sensor in golden.sensors.indices) {
                val (x, y, z) = List(3) { window[(3 * sensor + it) * samples + index] }
                live.push(sensor, time, x, y, z)
            }
        }
    }

    @Test
    fun `a model of images gets the pictures, one of windows the window`() {
        val window = exampleWindow(samples = 100)
        val model = StandInModel(standInInfo(Form.IMAGE))
        val pipeline = Pipeline(model)
        assertEquals("up", pipeline.classify(window).label)
        assertContentEquals(Pictures(model.info.views, 100).draw(window), model.inputs.single())
        val whole = StandInModel(standInInfo(Form.END_TO_END))
        Pipeline(whole).classify(window)
        assertContentEquals(window, whole.inputs.single())
    }

    @Test
    fun `a sensor whose rate does not fit is refused`() {
        val pipeline = Pipeline(StandInModel(standInInfo(Form.IMAGE)))
        assertMessage("sampling rate must be") { LiveClassifier(pipeline, listOf(0.0)) { _, _, _ -> } }
    }
}
