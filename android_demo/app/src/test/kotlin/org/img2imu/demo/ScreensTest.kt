package org.img2imu.demo

import android.hardware.Sensor
import android.os.SystemClock
import android.view.View
import android.view.ViewGroup
import android.widget.ScrollView
import org.img2imu.core.Mode
import org.img2imu.core.Protocol
import org.junit.Test
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowBuild
import java.time.Duration
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** Each screen with real content, drawn to `target/screens`: look at them. */
class ScreensTest : AppTest() {
    private fun live(name: String) {
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        for (index in 0 until 3000) sense(index)
        picture(name)
    }

    @Test
    fun live() = live("live")

    @Test
    @Config(qualifiers = "w360dp-h740dp-night-hdpi")
    fun dark() = live("live-dark")

    @Test
    @Config(qualifiers = "w740dp-h360dp-land-hdpi")
    fun landscape() = live("live-landscape")

    @Test
    fun recording() {
        launch()
        open(Tab.RECORDING)
        click(R.id.play)
        elapse(52.0)
        picture("playback")
    }

    private fun record(name: String) {
        add(Sensor.TYPE_ACCELEROMETER)
        add(Sensor.TYPE_GYROSCOPE)
        add(Sensor.TYPE_MAGNETIC_FIELD)
        launch()
        open(Tab.RECORD)
        type(R.id.names, "walk, sit, climb stairs, cycle, lie")
        type(R.id.person, "ann")
        demo.recorder.person = "ann"
        picture("$name-before")
        click(R.id.record)
        val begun = SystemClock.elapsedRealtime()
        for (time in 0L until 83_000L step 20) {
            SystemClock.setCurrentTimeMillis(begun + time)
            sense(Sensor.TYPE_ACCELEROMETER, (begun + time) * 1_000_000, floatArrayOf(0f, 0f, 9.8f))
            sense(Sensor.TYPE_GYROSCOPE, (begun + time) * 1_000_000, floatArrayOf(0f, 0f, 0f))
            if (time % 40 == 0L) sense(Sensor.TYPE_MAGNETIC_FIELD, (begun + time) * 1_000_000, floatArrayOf(20f, 0f, 0f))
            if (time == 71_000L) {
                settle()
                demo.recorder.press("walk")
            }
            if (time % 1000 == 0L) settle()
        }
        shadowOf(demo.recorder.worker.looper).idleFor(Duration.ofMillis(500))
        picture(name)
        click(R.id.record)
        picture("$name-after")
        assertTrue("Recorded" in shown(R.id.said))
    }

    @Test
    fun record() = record("record")

    @Test
    @Config(qualifiers = "w740dp-h360dp-land-night-hdpi")
    fun recordDark() = record("record-dark")

    @Test
    fun benchmark() {
        ShadowBuild.setManufacturer("JVM of the build,")
        ShadowBuild.setModel("no phone")
        launch()
        open(Tab.BENCHMARK)
        picture("benchmark-before")
        demo.bench.start(BenchChoice(Variant.IMAGE, protocol = Protocol(seconds = 0.5)))
        settle()
        picture("benchmark")
        assertEquals("ONNX after Kotlin's pictures, 1 thread", shown(R.id.result_title))
    }

    @Test
    @Config(qualifiers = "w360dp-h1100dp-hdpi")
    fun operators() {
        launch()
        open(Tab.BENCHMARK)
        demo.bench.start(BenchChoice(Variant.INT8, protocol = Protocol(seconds = 0.5)))
        settle()
        click(R.id.show_operators)
        picture("operators")
    }

    @Test
    fun sustained() {
        launch()
        open(Tab.BENCHMARK)
        demo.bench.start(BenchChoice(Variant.INT8, protocol = Protocol(seconds = 6.0, mode = Mode.SUSTAINED)))
        settle()
        val content = activity.findViewById<ViewGroup>(R.id.content)!!
        (content.getChildAt(0) as ScrollView).fullScroll(View.FOCUS_DOWN)
        picture("sustained")
        assertEquals("ONNX, end to end, int8, 1 thread, sustained", shown(R.id.result_title))
    }

    @Test
    fun selfTest() {
        launch()
        open(Tab.SELF_TEST)
        click(R.id.run)
        picture("self-test")
    }
}
