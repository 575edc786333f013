package org.img2imu.demo

import android.hardware.Sensor
import org.img2imu.core.Protocol
import org.junit.Test
import org.robolectric.annotation.Config
import org.robolectric.shadows.ShadowBuild
import kotlin.test.assertEquals

/** Each screen with real content, drawn to `target/screens`: look at them. */
class ScreensTest : AppTest() {
    private fun live(name: String) {
        add(Sensor.TYPE_ACCELEROMETER)
        launch()
        for (index in 1600 until 2000) sense(index)
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
        elapse(12.0)
        picture("recording")
    }

    @Test
    fun benchmark() {
        ShadowBuild.setManufacturer("JVM of the build,")
        ShadowBuild.setModel("no phone")
        launch()
        open(Tab.BENCHMARK)
        picture("benchmark-before")
        demo.bench.start(BenchChoice(Variant.IMAGE, 1, Protocol(seconds = 0.5)))
        settle()
        picture("benchmark")
        assertEquals("ONNX after Kotlin's pictures, 1 thread", shown(R.id.result_title))
    }

    @Test
    fun selfTest() {
        launch()
        open(Tab.SELF_TEST)
        click(R.id.run)
        picture("self-test")
    }
}
