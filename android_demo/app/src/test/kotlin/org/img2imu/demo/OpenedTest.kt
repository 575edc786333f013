package org.img2imu.demo

import android.app.Activity
import android.content.Intent
import android.hardware.Sensor
import android.net.Uri
import android.widget.Spinner
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.img2imu.core.InputError
import org.img2imu.core.Protocol
import org.junit.Test
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import java.io.ByteArrayInputStream
import java.io.File
import java.io.IOException
import java.io.InputStream
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

/** Models that the user brings: by the document picker, and over adb. */
class OpenedTest : AppTest() {
    private val folder: File get() = activity.getExternalFilesDir("models")!!
    private val chosen get() = activity.findViewById<Spinner>(R.id.form)!!.selectedItem.toString()

    private fun exported(network: String, name: String) =
        File(System.getProperty("built"), "models/$network/$name").readBytes()

    /** Takes the way through the picker, which answers with a document of this name. */
    private fun pick(name: String, content: () -> InputStream) {
        click(R.id.open)
        val asked = shadowOf(activity).nextStartedActivityForResult
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.intent.action)
        val document = Uri.parse("content://documents/$name")
        shadowOf(activity.contentResolver).registerInputStreamSupplier(document, content)
        shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(document))
        settle()
    }

    private fun pick(name: String, content: ByteArray) = pick(name) { ByteArrayInputStream(content) }

    private fun benchmark() {
        launch()
        open(Tab.BENCHMARK)
    }

    private fun measured(report: String) =
        Json.parseToJsonElement(File(activity.getExternalFilesDir(null), "$report.json").readText()).jsonObject

    @Test
    fun `an opened model is measured, and tested by what it knows`() {
        benchmark()
        for ((name, network) in listOf("other.onnx" to "paper", "two sensors.ort" to "sensors")) {
            pick(name, exported(network, name.replaceBefore('.', "model")))
            val kept = name.replace(' ', '_')
            assertEquals(kept, chosen)
            demo.bench.start(demo.bench.choice.copy(protocol = Protocol(2, 10, 0.0)), "opened")
            settle()
            val settings = measured("opened").getValue("settings").jsonObject
            assertEquals(kept, settings.getValue("file").jsonPrimitive.content)
            assertTrue(settings.getValue("self_test").jsonObject.getValue("passed").jsonPrimitive.boolean)
            assertEquals("$kept, 1 thread", shown(R.id.result_title))
        }
        open(Tab.SELF_TEST)
        click(R.id.run)
        val opened = demo.selfTest.state.value.tried.filter { it.file is OpenedFile }
        assertEquals(listOf("other.onnx", "two_sensors.ort"), opened.map { it.file.title })
        assertTrue(opened.all { it.result!!.passed })
    }

    @Test
    fun `an opened model labels the sensor, and the app's own again`() {
        add(Sensor.TYPE_ACCELEROMETER)
        benchmark()
        pick("mine.onnx", exported("paper", "model.onnx"))
        // The paper's network reads larger pictures than the app's own.
        for ((file, large) in listOf("mine.onnx" to true, Variant.END_TO_END.title to false)) {
            activity.findViewById<Spinner>(R.id.form)!!.run { setSelection((0 until count).first { getItemAtPosition(it) == file }) }
            click(R.id.label_live)
            assertEquals("$file now labels what the sensor and the recording give", shown(R.id.progress))
            open(Tab.LIVE)
            for (index in 1600 until 1900) sense(index)
            settle()
            assertEquals(large, demo.live.state.value.moment!!.width == 128)
            open(Tab.BENCHMARK)
        }
    }

    @Test
    fun `a file pushed by adb is measured by intent`() {
        launch()
        folder.mkdirs()
        File(folder, "pushed.onnx").writeBytes(exported("fast", "model.onnx"))
        controller.newIntent(unattended("end-to-end", "pushed").putExtra("model", "pushed.onnx"))
        settle()
        assertEquals("opened", measured("pushed").getValue("settings").jsonObject.getValue("form").jsonPrimitive.content)
        File(folder, "broken.onnx").writeBytes(exported("fast", "model.onnx").copyOf(5000))
        controller.newIntent(unattended("end-to-end", "broken").putExtra("model", "broken.onnx"))
        settle()
        val reason = File(activity.getExternalFilesDir(null), "broken.error.txt").readText()
        assertTrue(reason.startsWith("broken.onnx: ONNX Runtime cannot open the model"), reason)
        assertEquals(1, reason.trim().lines().size)
    }

    @Test
    fun `what is no model is told in a sentence, and not kept`() {
        benchmark()
        val model = exported("paper", "model.onnx")
        fun refused(name: String, content: ByteArray, sentence: String) {
            pick(name, content)
            assertTrue(sentence in shown(R.id.progress), shown(R.id.progress))
            assertEquals(1, shown(R.id.progress).lines().size)
            assertEquals(emptyList(), folder.list().orEmpty().toList())
            assertEquals(Variant.END_TO_END.title, chosen)
        }
        refused("photo.jpg", model, "photo.jpg is no model: img2imu export writes .onnx and .ort")
        refused("noise.onnx", ByteArray(5000) { (31 * it).toByte() }, "noise.onnx: ONNX Runtime cannot open the model")
        refused("half.onnx", model.copyOf(model.size / 2), "half.onnx: ONNX Runtime cannot open the model")
        refused("half.ort", exported("paper", "model.ort").copyOf(9000), "half.ort: ONNX Runtime cannot open the model")
        refused("empty.onnx", ByteArray(0), "empty.onnx: ")
        val foreign = String(model, Charsets.ISO_8859_1).replace("sampling_rate", "sampling_late")
        refused("foreign.onnx", foreign.toByteArray(Charsets.ISO_8859_1), "foreign.onnx: the model's metadata has no sampling_rate")
    }

    @Test
    fun `a source that fails leaves nothing`() {
        benchmark()
        pick("cut.onnx") {
            object : InputStream() {
                private var left = 100_000

                override fun read(): Int = if (left-- > 0) 1 else throw IOException("the stick was pulled out")
            }
        }
        assertEquals("cut.onnx cannot be copied: the stick was pulled out", shown(R.id.progress))
        pick("secret.onnx") { throw SecurityException("no grant") }
        assertEquals("secret.onnx may not be read by this app", shown(R.id.progress))
        assertEquals(emptyList(), folder.list().orEmpty().toList())
    }

    @Test
    fun `a file that is too large is not read to its end`() {
        val small = OpenedFiles(RuntimeEnvironment.getApplication(), mostBytes = 2L shl 20)
        var read = 0L
        val endless = object : InputStream() {
            override fun read() = 0

            override fun read(bytes: ByteArray, offset: Int, length: Int) = length.also { read += it }
        }
        val error = assertFailsWith<InputError> { small.add("large.onnx", endless) }
        assertEquals("large.onnx is larger than 2 MB: too large for a phone", error.message)
        assertTrue(read < 4L shl 20)
        assertEquals(emptyList(), small.list())
    }

    @Test
    fun `the file that was opened last replaces one of its name, but a broken one does not`() {
        benchmark()
        pick("model.onnx", exported("paper", "model.onnx"))
        pick("model.onnx", ByteArray(100))
        assertTrue("ONNX Runtime cannot open" in shown(R.id.progress))
        assertEquals(exported("paper", "model.onnx").size.toLong(), File(folder, "model.onnx").length())
        pick("model.onnx", exported("fast", "model.onnx"))
        assertEquals(exported("fast", "model.onnx").size.toLong(), File(folder, "model.onnx").length())
        assertEquals(listOf("model.onnx"), folder.list()!!.toList())
        assertFalse(demo.bench.running)
    }
}
