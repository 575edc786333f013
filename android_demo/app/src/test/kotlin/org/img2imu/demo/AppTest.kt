package org.img2imu.demo

import android.content.Context
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.hardware.Sensor
import android.hardware.SensorManager
import android.os.Handler
import android.os.Looper
import android.view.View
import android.widget.TextView
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.double
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.img2imu.core.CsvRecording
import org.img2imu.core.Golden
import org.img2imu.core.STANDARD_GRAVITY
import org.junit.After
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.SensorEventBuilder
import org.robolectric.shadows.ShadowSensor
import java.io.File
import java.time.Duration
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** The app on the JVM, with ONNX Runtime of this machine, and ways to use it. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], qualifiers = "w360dp-h740dp-hdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
abstract class AppTest {
    private val built = File(System.getProperty("built"))
    private val controllers = ArrayList<ActivityController<MainActivity>>()
    protected lateinit var controller: ActivityController<MainActivity>
    protected val activity: MainActivity get() = controller.get()
    protected val demo get() = activity.demo

    /** Content of the assets by name, which a test may spoil before [launch]. */
    protected val assets: MutableMap<String, ByteArray> = File(built, "assets").let { folder ->
        folder.walk().filter { it.isFile }.associateTo(HashMap()) { it.relativeTo(folder).path to it.readBytes() }
    }

    protected val recording by lazy {
        CsvRecording.read(File(built, "assets/recording.csv").reader(), "recording.csv")
    }

    /** What Python says of the recording's windows. */
    protected fun expected(overlap: Double): List<Expected> =
        Json.parseToJsonElement(File(built, "expected.json").readText()).jsonObject.getValue("$overlap").jsonArray.map {
            val one = it.jsonObject
            Expected(
                one.getValue("start").jsonPrimitive.double,
                one.getValue("label").jsonPrimitive.content,
                one.getValue("confidence").jsonPrimitive.double,
            )
        }

    class Expected(val start: Double, val label: String, val confidence: Double)

    @After
    fun close() {
        for (each in controllers) each.get().demo.close()
    }

    /** Gives the phone a sensor. */
    protected fun add(type: Int) {
        val sensors = RuntimeEnvironment.getApplication().getSystemService(Context.SENSOR_SERVICE) as SensorManager
        shadowOf(sensors).addSensor(ShadowSensor.newInstance(type))
    }

    /** Takes the model of the golden vectors of this name instead of the app's; returns these. */
    protected fun useModel(name: String): Golden {
        val folder = File(built, "models/$name")
        assets["model.onnx"] = File(folder, "model.onnx").readBytes()
        return Golden.read { File(folder, it).readBytes() }
    }

    protected fun launch(intent: Intent = Intent()) {
        addAssets()
        controller = Robolectric.buildActivity(MainActivity::class.java, intent).setup().visible()
        controllers += controller
        settle()
    }

    @Suppress("DEPRECATION") // the only way in from outside Android
    private fun addAssets() {
        val archive = File.createTempFile("assets", ".zip", File("target"))
        archive.deleteOnExit()
        ZipOutputStream(archive.outputStream()).use { zip ->
            for ((name, content) in assets) {
                zip.putNextEntry(ZipEntry("assets/$name"))
                zip.write(content)
            }
        }
        check(RuntimeEnvironment.getApplication().assets.addAssetPath(archive.path) != 0)
    }

    protected fun unattended(form: String, report: String, seconds: Float = 0f): Intent = Intent()
        .putExtra("benchmark", true)
        .putExtra("form", form)
        .putExtra("threads", 1)
        .putExtra("runs", 30)
        .putExtra("seconds", seconds)
        .putExtra("report", report)

    /** Sends a sample of the recording as the sensor would. */
    protected fun sense(index: Int) {
        val values = FloatArray(3) { recording.values[3 * index + it] * STANDARD_GRAVITY }
        sense(Sensor.TYPE_ACCELEROMETER, recording.nanoseconds[index], values)
    }

    /** Sends a sample as a sensor would. */
    protected fun sense(type: Int, nanoseconds: Long, values: FloatArray) {
        val sensors = activity.getSystemService(Context.SENSOR_SERVICE) as SensorManager
        val event = SensorEventBuilder.newBuilder()
            .setSensor(checkNotNull(sensors.getDefaultSensor(type)))
            .setTimestamp(nanoseconds)
            .setValues(values)
            .build()
        // The shadow calls listeners where it stands; Android calls them on the worker.
        Handler(demo.worker.looper).post { shadowOf(sensors).sendSensorEventToListeners(event) }
    }

    /** Lets the worker and then the screen come to rest. */
    protected fun settle() {
        repeat(2) {
            shadowOf(demo.worker.looper).idle()
            shadowOf(demo.recorder.worker.looper).idle()
            shadowOf(Looper.getMainLooper()).idle()
        }
    }

    /** Lets the clock of the worker run. */
    protected fun elapse(seconds: Double) {
        shadowOf(demo.worker.looper).idleFor(Duration.ofMillis((1000 * seconds).toLong()))
        settle()
    }

    protected fun open(tab: Tab) {
        activity.findViewById<View>(tab.button)!!.performClick()
        settle()
    }

    protected fun click(id: Int) {
        activity.findViewById<View>(id)!!.performClick()
        settle()
    }

    protected fun type(id: Int, text: String) {
        activity.findViewById<TextView>(id)!!.text = text
    }

    protected fun shown(id: Int): String = activity.findViewById<TextView>(id)!!.text.toString()

    /** Draws the whole window to `target/screens`. */
    protected fun picture(name: String) {
        settle()
        val view = activity.window.decorView
        val bitmap = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        view.draw(Canvas(bitmap))
        val file = File("target/screens/$name.png")
        file.parentFile.mkdirs()
        file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }
}
