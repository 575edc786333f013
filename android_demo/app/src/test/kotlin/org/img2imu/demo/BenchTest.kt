package org.img2imu.demo

import android.content.ContextWrapper
import android.content.Intent
import android.os.BatteryManager
import android.os.PowerManager
import android.view.View
import android.widget.TableLayout
import android.widget.TableRow
import android.widget.TextView
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.double
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.img2imu.core.Protocol
import org.junit.Test
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import java.io.File
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

/** Benchmarks and the self-test, by hand and by intent. */
class BenchTest : AppTest() {
    private val folder: File get() = activity.getExternalFilesDir(null)!!

    /** All that lies beside the folder of opened models. */
    private fun outcomes() = folder.list()!!.toList() - "models"

    private fun report(name: String): JsonObject =
        Json.parseToJsonElement(File(folder, "$name.json").readText()).jsonObject

    private fun problem(name: String) = File(folder, "$name.error.txt").readText().trim()

    private fun JsonObject.at(name: String) = getValue(name).jsonObject
    private fun JsonObject.word(name: String) = getValue(name).jsonPrimitive.content
    private fun JsonObject.number(name: String) = getValue(name).jsonPrimitive.double

    @Test
    fun `an intent measures and leaves a report`() {
        launch(unattended("end-to-end", "bench-1", 0.1f))
        val report = report("bench-1")
        val settings = report.at("settings")
        assertEquals("end-to-end", settings.word("form"))
        assertEquals("model.onnx", settings.word("file"))
        assertEquals(1, settings.getValue("threads").jsonPrimitive.int)
        assertTrue(settings.at("self_test").getValue("passed").jsonPrimitive.boolean)
        assertEquals(30, report.at("protocol").getValue("runs").jsonPrimitive.int)
        assertEquals(setOf("inference", "end_to_end"), report.at("stages").keys)
        for (stage in report.at("stages").values.map { it.jsonObject }) {
            val samples = stage.getValue("samples_ns").jsonArray.map { it.jsonPrimitive.double }
            assertTrue(samples.size >= 30, "${samples.size} runs")
            val median = samples.sorted().run { this[(size - 1) / 2] } // by nearest rank
            assertEquals(median / 1e6, stage.number("p50_ms"), 1e-9)
            assertTrue(stage.number("p50_ms") <= stage.number("p90_ms"))
            assertTrue(stage.number("p90_ms") <= stage.number("p95_ms"))
        }
        assertTrue(report.number("cold_start_ms") > 0)
        assertEquals(35, report.at("device").getValue("sdk").jsonPrimitive.int)
        assertTrue(report.at("device").getValue("in_foreground").jsonPrimitive.boolean)
        assertEquals("none", report.at("device").at("thermal").word("hottest"))
        val operators = report.getValue("operators").jsonArray.map { it.jsonObject }
        assertEquals(setOf("CPUExecutionProvider"), operators.map { it.word("provider") }.toSet())
        val taken = settings.at("taken")
        assertEquals(operators.sumOf { it.number("nodes") }, taken.number("nodes"))
        assertFalse(taken.getValue("fell_back").jsonPrimitive.boolean)
        assertEquals(assets.getValue("model.onnx").size, report.at("memory").getValue("model_file").jsonPrimitive.int)
        assertFalse(report.at("validity").getValue("valid").jsonPrimitive.boolean)
        assertTrue("no cool-down of 60 s before" in shown(R.id.validity), shown(R.id.validity))
        assertEquals(listOf("bench-1.json"), outcomes())
        assertTrue("ONNX, end to end, 1 thread" in shown(R.id.result_title))
    }

    @Test
    fun `a report tells the state of the machine`() {
        val battery = Intent(Intent.ACTION_BATTERY_CHANGED)
            .putExtra(BatteryManager.EXTRA_LEVEL, 57)
            .putExtra(BatteryManager.EXTRA_SCALE, 100)
            .putExtra(BatteryManager.EXTRA_PLUGGED, BatteryManager.BATTERY_PLUGGED_USB)
            .putExtra(BatteryManager.EXTRA_VOLTAGE, 4100)
        @Suppress("DEPRECATION") // as the system sends it
        RuntimeEnvironment.getApplication().sendStickyBroadcast(battery)
        val power = RuntimeEnvironment.getApplication().getSystemService(PowerManager::class.java)
        shadowOf(power).setCurrentThermalStatus(PowerManager.THERMAL_STATUS_MODERATE)
        shadowOf(power).setIsPowerSaveMode(true)
        val manager = RuntimeEnvironment.getApplication().getSystemService(BatteryManager::class.java)
        shadowOf(manager).setLongProperty(BatteryManager.BATTERY_PROPERTY_CHARGE_COUNTER, 2_000_000)
        launch(unattended("image", "state"))
        val device = report("state").at("device")
        assertEquals("57", device.at("battery").word("level"))
        assertTrue(device.at("battery").getValue("charging").jsonPrimitive.boolean)
        assertEquals("moderate", device.at("thermal").word("after"))
        assertEquals("not counted while charging", report("state").at("energy").word("note"))
        val validity = shown(R.id.validity)
        assertTrue("power save was on; thermal status moderate at the start" in validity, validity)
        assertTrue("battery 57 %, charging" in shown(R.id.result_detail), shown(R.id.result_detail))
    }

    @Test
    fun `every ONNX form is measured, and the picture form also in its parts`() {
        launch(unattended("int8", "int8"))
        assertEquals("model.int8.onnx", report("int8").at("settings").word("file"))
        assertEquals(0, report("int8").at("settings").at("self_test").getValue("wrong_labels").jsonPrimitive.int)
        controller.newIntent(unattended("image", "image"))
        settle()
        val image = report("image")
        assertEquals(setOf("convert", "inference", "end_to_end"), image.at("stages").keys)
        assertTrue(image.at("settings").at("self_test").getValue("passed").jsonPrimitive.boolean)
        for (stage in image.at("stages").values) assertTrue(stage.jsonObject.number("p50_ms") > 0)
    }

    @Test
    fun `what cannot be measured leaves its reason`() {
        launch(unattended("torchscript", "torch"))
        assertTrue("install img2imu-demo-torch.apk" in problem("torch"), problem("torch"))
        assertEquals(problem("torch"), shown(R.id.progress))
        for ((intent, reason) in listOf(
            unattended("tflite", "bad") to "Unknown form \"tflite\"; known: end-to-end, int8, image, torchscript",
            unattended("image", "bad").putExtra("runs", 0) to "runs must lie between 1",
            unattended("image", "bad").putExtra("threads", 0) to "threads must be at least 1",
            unattended("image", "bad").putExtra("mode", "fast") to "Unknown mode \"fast\"; known: burst, paced, sustained",
            unattended("image", "bad").putExtra("provider", "gpu") to "Unknown provider \"gpu\"; known: cpu, xnnpack, nnapi",
            unattended("image", "bad").putExtra("provider", "nnapi") to "this ONNX Runtime has no NNAPI; it has CPU",
            unattended("torchscript", "bad").putExtra("provider", "nnapi") to "PyTorch runs on the CPU: it has no NNAPI",
            unattended("image", "bad").putExtra("cool_down", -1f) to "the cool-down must last between",
            unattended("image", "bad").putExtra("model", "../m.onnx") to "There is no model ../m.onnx in models of",
        )) {
            controller.newIntent(intent)
            settle()
            assertTrue(reason in problem("bad"), problem("bad"))
            assertFalse(File(folder, "bad.json").exists())
        }
    }

    @Test
    fun `a paced and a sustained run are reported and drawn`() {
        launch(unattended("end-to-end", "paced", 0.2f).putExtra("mode", "paced").putExtra("runs", 3))
        assertEquals("500.0", report("paced").at("protocol").word("hop_ms"))
        assertEquals(setOf("end_to_end"), report("paced").at("stages").keys)
        assertEquals("ONNX, end to end, 1 thread, paced", shown(R.id.result_title))
        controller.newIntent(unattended("int8", "sustained", 2.5f).putExtra("mode", "sustained"))
        settle()
        val sustained = report("sustained")
        assertEquals(setOf("first", "last"), sustained.at("stages").keys)
        assertFalse("samples_ns" in sustained.at("stages").at("last"))
        val curve = sustained.getValue("curve").jsonArray.map { it.jsonObject }
        assertTrue(curve.isNotEmpty())
        assertEquals("none", curve[0].word("thermal"))
        assertTrue(curve.sumOf { it.number("runs") } >= sustained.at("stages").at("first").number("runs"))
        val rows = activity.findViewById<TableLayout>(R.id.table)!!
        val names = (0 until rows.childCount).map { ((rows.getChildAt(it) as TableRow).getChildAt(0) as TextView).text }
        assertTrue(Regex("ms, first \\d+ s, last \\d+ s, cold start").matches(names.joinToString()), "$names")
        assertEquals("Latency over time", activity.findViewById<View>(R.id.chart)!!.contentDescription)
    }

    @Test
    fun `operators are shown when asked for`() {
        launch(unattended("int8", "operators"))
        val table = activity.findViewById<TableLayout>(R.id.operators)!!
        assertEquals(View.GONE, table.visibility)
        click(R.id.show_operators)
        assertEquals(View.VISIBLE, table.visibility)
        val rows = (1 until table.childCount).map { table.getChildAt(it) as TableRow }
        assertTrue(rows.any { (it.getChildAt(0) as TextView).text == "QLinearConv" })
        click(R.id.show_operators)
        assertEquals(View.GONE, table.visibility)
    }

    @Test
    fun `a missing model leaves its reason`() {
        assets.remove("model.image.onnx")
        launch(unattended("image", "missing"))
        assertEquals("This app was built without model.image.onnx", problem("missing"))
    }

    @Test
    fun `damaged golden vectors leave their reason`() {
        assets["golden/windows.bin"] = ByteArray(12)
        launch(unattended("end-to-end", "damaged"))
        assertTrue("windows.bin" in problem("damaged"), problem("damaged"))
    }

    @Test
    fun `an older outcome does not stay beside the new one`() {
        launch(unattended("image", "again"))
        controller.newIntent(unattended("torchscript", "again"))
        settle()
        assertEquals(listOf("again.error.txt"), outcomes())
        controller.newIntent(unattended("image", "again"))
        settle()
        assertEquals(listOf("again.json"), outcomes())
    }

    @Test
    fun `a report's name stays in the app's folder`() {
        launch(unattended("end-to-end", "../escaped"))
        assertTrue("letters, digits" in shown(R.id.progress))
        assertEquals(emptyList(), outcomes())
    }

    @Test
    fun `without storage the screen says so`() {
        launch()
        val unmounted = object : ContextWrapper(activity.applicationContext) {
            override fun getExternalFilesDir(type: String?): File? = null
        }
        val bench = Demo(unmounted).bench
        bench.start(BenchChoice(protocol = Protocol(0, 1, 0.0)), "nowhere")
        shadowOf(bench.demo.worker.looper).idle()
        val failed = bench.state.value as BenchState.Failed
        assertEquals("This phone has no storage for reports and models at present", failed.problem)
        bench.demo.close()
    }

    @Test
    fun `a report that cannot be written leaves its reason`() {
        launch()
        File(folder, "taken.json/inside").mkdirs()
        controller.newIntent(unattended("image", "taken"))
        settle()
        assertEquals("The report cannot be written: it cannot be renamed", problem("taken"))
        assertEquals(setOf("taken.json", "taken.error.txt"), outcomes().toSet())
    }

    @Test
    fun `the benchmark screen survives a rotation, and shares`() {
        launch()
        open(Tab.BENCHMARK)
        demo.bench.start(BenchChoice(Variant.IMAGE, protocol = Protocol(5, 20, 0.0)))
        controller.recreate()
        settle()
        assertEquals("ONNX after Kotlin's pictures, 1 thread", shown(R.id.result_title))
        click(R.id.share)
        val chooser = shadowOf(activity).nextStartedActivity
        assertEquals(Intent.ACTION_CHOOSER, chooser.action)
        val sent = chooser.getParcelableExtra(Intent.EXTRA_INTENT, Intent::class.java)!!
        assertEquals(Intent.ACTION_SEND, sent.action)
        val text = sent.getStringExtra(Intent.EXTRA_TEXT)!!
        assertTrue("convert p50 p90 p99" in text && "end to end p50" in text, text)
        click(R.id.save)
        assertEquals(Intent.ACTION_CREATE_DOCUMENT, shadowOf(activity).nextStartedActivityForResult.intent.action)
    }

    @Test
    fun `the self-test finds Python's answers, and tells what cannot run here`() {
        launch()
        open(Tab.SELF_TEST)
        click(R.id.run)
        val tried = demo.selfTest.state.value.tried.associateBy { it.file }
        for (variant in listOf(Variant.END_TO_END, Variant.IMAGE)) assertTrue(tried.getValue(variant).result!!.passed)
        assertEquals(0, tried.getValue(Variant.INT8).result!!.labels)
        assertTrue("img2imu-demo-torch.apk" in tried.getValue(Variant.TORCHSCRIPT).problem!!)
    }
}
