package org.img2imu.core

import org.junit.Test
import java.io.File
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ModelTest {
    private val waveform = """
        {"kind": "waveform", "sampling_rate": 50, "low": -2, "high": 2, "detrend": false,
         "width": 8, "height": 6}"""

    private val metadata = mapOf(
        "format" to "1",
        "form" to "image",
        "labels" to """["still", "walk"]""",
        "sampling_rate" to "50.0",
        "samples" to "250",
        "unit" to "g",
        "views" to "[$waveform, $waveform]",
        "scores" to "{}",
        "img2imu" to "0.1.0",
    )

    private fun files() =
        modelFolders().flatMap { it.listFiles().orEmpty().sorted() }.filter { it.name.endsWith(".onnx") }

    @Test
    fun `exported models give Python's answers`() {
        val forms = HashSet<Form>()
        for (file in files()) {
            OnnxModel.open(file.path).use { model ->
                val result = selfTest(Golden.read(folder(file.parentFile)), model)
                println("${file.parentFile.name}/${file.name}: $result")
                assertTrue(result.passed, "$file: $result")
                assertEquals(0, result.labels)
                forms += model.info.form
            }
        }
        assertEquals(Form.entries.toSet(), forms)
    }

    @Test
    fun `a model from memory with two threads answers alike`() {
        val file = files().first()
        val input = { info: ModelInfo -> FloatArray(info.inputSize) { it % 7 / 7f } }
        val models = listOf(OnnxModel.open(file.path), OnnxModel.open(file.readBytes(), Execution(threads = 2)))
        val (fromFile, fromMemory) = models.map { model -> model.use { it.run(input(it.info)).logits.copyOf() } }
        assertNear(fromFile, fromMemory, 1e-5)
    }

    @Test
    fun `answers are written anew and agree with themselves`() {
        OnnxModel.open(files().first().path).use { model ->
            val input = FloatArray(model.info.inputSize)
            val silence = model.run(input).logits.copyOf()
            for (index in input.indices) input[index] = (index % 10) / 10f
            val answer = model.run(input)
            assertTrue(!silence.contentEquals(answer.logits))
            assertEquals(1f, answer.probabilities.sum(), 1e-5f)
            assertEquals(answer.logits.indices.maxBy { answer.logits[it] }, answer.best)
            assertEquals(answer.labels[answer.best], answer.label)
            assertEquals(answer.probabilities.max(), answer.confidence)
            assertFailsWith<IllegalArgumentException> { model.run(FloatArray(3)) }
        }
    }

    @Test
    fun `files that are no models of ours are refused`() {
        val file = files().first()
        val content = file.readBytes()
        assertMessage("ONNX Runtime cannot open the model") { OnnxModel.open(ByteArray(1000) { it.toByte() }) }
        assertMessage("ONNX Runtime cannot open the model") { OnnxModel.open(content.copyOf(content.size / 2)) }
        assertMessage("ONNX Runtime cannot open the model") { OnnxModel.open("/no/such/file.onnx") }
        assertMessage("threads must be at least 1") { Execution(0) }
        assertMessage("the model's metadata has no samples") { OnnxModel.open(replaced(content, "samples", "simples")) }
        assertMessage("the model's labels is not JSON") { OnnxModel.open(replaced(content, "[\"abd", "{\"abd")) }
        val whole = File(file.parentFile, "model.onnx").readBytes()
        assertMessage("needs the input window, not widnow") { OnnxModel.open(replaced(whole, "window", "widnow")) }
        assertMessage("needs the outputs probabilities and logits") {
            OnnxModel.open(replaced(whole, "logits", "logots"))
        }
        assertMessage("the model's input is [3, 250], but its metadata tell [3, 251]") {
            OnnxModel.open(replaced(whole, "samples\u0012\u0003250", "samples\u0012\u0003251"))
        }
    }

    /** All of a text of the file, replaced by one of the same length. */
    private fun replaced(content: ByteArray, old: String, new: String): ByteArray =
        String(content, Charsets.ISO_8859_1).also { check(old in it) { old } }
            .replace(old, new).toByteArray(Charsets.ISO_8859_1)

    @Test
    fun `metadata tell what a model takes`() {
        val info = ModelInfo.parse(metadata)
        assertEquals(listOf("still", "walk"), info.labels)
        assertEquals(250, info.samples)
        assertEquals(2, info.views.size)
        assertContentEquals(longArrayOf(1, 2, 3, 6, 8), info.inputShape())
        assertEquals(288, info.inputSize)
        val single = ModelInfo.parse(metadata + ("views" to "[$waveform]"))
        assertContentEquals(longArrayOf(1, 3, 6, 8), single.inputShape())
        assertEquals(null, info.quantization)
        val window = ModelInfo.parse(metadata + ("form" to "end-to-end") + ("quantization" to "int8"))
        assertEquals("int8", window.quantization)
        assertContentEquals(longArrayOf(1, 3, 250), window.inputShape())
        assertEquals(750, window.inputSize)
    }

    @Test
    fun `metadata tell how classes change, and what is strange`() {
        val plain = ModelInfo.parse(metadata)
        assertEquals(null, plain.transitions)
        assertEquals(null, plain.strangeness)
        val percentiles = List(101) { it / 10.0 }
        val info = ModelInfo.parse(
            metadata + ("transitions" to "[[-0.1, 0.1], [0.02, -0.02]]") + ("strangeness" to "$percentiles"),
        )
        assertEquals(listOf(listOf(-0.1, 0.1), listOf(0.02, -0.02)), info.transitions)
        assertEquals(percentiles, info.strangeness)
    }

    private fun sensors(vararg units: Pair<String, String>) =
        units.joinToString(prefix = "[", postfix = "]") { (name, unit) -> """{"name": "$name", "unit": "$unit"}""" }

    @Test
    fun `metadata tell the sensors`() {
        assertEquals(listOf(ACCELEROMETER), ModelInfo.parse(metadata).sensors)
        val units = sensors("accel" to "g", "wrist.gyro" to "rad/s", "magn" to "uT")
        val info = ModelInfo.parse(metadata - "unit" + ("sensors" to units) + ("form" to "end-to-end"))
        assertEquals(listOf("accel", "wrist.gyro", "magn"), info.sensors.map { it.name })
        assertEquals(SensorKind.entries.toList(), info.sensors.map { it.kind })
        assertContentEquals(longArrayOf(1, 9, 250), info.inputShape())
        assertEquals(2250, info.inputSize)
    }

    @Test
    fun `metadata of TorchScript are one JSON object`() {
        val json = """
            {"format": 1, "form": "image", "labels": ["still", "walk"], "sampling_rate": 50.0,
             "samples": 250, "unit": "g", "views": [$waveform], "scores": {}}"""
        assertEquals(listOf("still", "walk"), ModelInfo.parse(json).labels)
        assertMessage("the model's metadata is not JSON") { ModelInfo.parse("") }
    }

    @Test
    fun `wrong metadata are told in a sentence`() {
        fun refused(name: String, text: String, message: String) =
            assertMessage(message) { ModelInfo.parse(metadata + (name to text)) }
        assertMessage("the model's metadata has no labels") { ModelInfo.parse(metadata - "labels") }
        assertMessage("the model's metadata has no format") { ModelInfo.parse(emptyMap()) }
        refused("format", "2", "the model has format 2; this app reads format 1")
        refused("labels", "[\"still\"", "the model's labels is not JSON")
        refused("labels", "[1, 2]", "labels must be a list of texts")
        refused("labels", "[\"still\"]", "at least two labels, not 1")
        refused("labels", "[\"still\", \"still\"]", "labels repeat")
        refused("samples", "2.5", "samples must be a whole number, not 2.5")
        refused("samples", "1", "at least two samples")
        refused("sampling_rate", "0", "sampling_rate")
        refused("unit", "m/s2", "the model takes samples of accel in m/s2; this app gives g")
        refused("sensors", sensors("gyro" to "deg/s"), "samples of gyro in deg/s; this app gives rad/s")
        refused("sensors", sensors("baro" to "Pa"), "unknown sensor \"baro\"; known: accel, gyro, magn")
        refused("sensors", sensors("accel" to "g", "accel" to "g"), "each once, not accel, accel")
        refused("sensors", "[]", "sensors must be named")
        refused("sensors", sensors("gyro" to "rad/s"), "draws the sensor accel, and the windows are of gyro")
        refused("transitions", "[[-1, 1]]", "transitions are of 1 labels, not 2")
        refused("transitions", "[1, 2]", "transitions must be a list of lists of numbers")
        refused("strangeness", "[1, 2]", "strangeness must be told in 101 percentiles, not 2")
        refused("form", "converter", "unknown form of model \"converter\"; known: end-to-end, image")
        refused("views", "[]", "needs views")
        refused("views", "[{\"kind\": \"other\"}]", "unknown kind of view")
    }
}
