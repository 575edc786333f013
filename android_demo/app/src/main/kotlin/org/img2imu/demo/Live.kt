package org.img2imu.demo

import android.content.Context
import android.hardware.Sensor
import android.hardware.SensorEvent
import android.hardware.SensorEventListener
import android.hardware.SensorManager
import org.img2imu.core.STANDARD_GRAVITY
import kotlin.math.max
import kotlin.math.roundToInt

/** Labels the phone's own accelerometer. */
class Live(private val demo: Demo) : SensorEventListener {
    val state = Watched(StreamState())

    private val sensors = demo.context.getSystemService(Context.SENSOR_SERVICE) as SensorManager
    private var running = false

    // The sensor's rate is known only from what it sends: the first samples wait for it.
    private val first = ArrayList<Sample>(RATE_SAMPLES)
    private var stream: Stream? = null

    /** Listens from now on; without effect while it does. */
    fun start() {
        if (running) return
        val sensor = sensors.getDefaultSensor(Sensor.TYPE_ACCELEROMETER)
        if (sensor == null) {
            state.value = StreamState(problem = "This phone has no accelerometer: see the recording instead")
            return
        }
        demo.work(::fail) {
            demo.pipeline()
            if (stream == null) state.value = StreamState(status = "Listening")
        }
        running = sensors.registerListener(this, sensor, PERIOD_US, demo.worker)
        if (!running) fail("The accelerometer cannot be read")
    }

    /** Stops listening; what was found stays. */
    fun stop() {
        sensors.unregisterListener(this)
        running = false
    }

    override fun onSensorChanged(event: SensorEvent) {
        val (x, y, z) = event.values
        val sample = Sample(event.timestamp, x / STANDARD_GRAVITY, y / STANDARD_GRAVITY, z / STANDARD_GRAVITY)
        if (state.value.problem == null) demo.work(::fail) { take(sample) }
    }

    override fun onAccuracyChanged(sensor: Sensor, accuracy: Int) = Unit

    private fun take(sample: Sample) {
        stream?.let { return sample.pushTo(it) }
        first += sample
        if (first.size < RATE_SAMPLES) return
        val rate = rate(first)
        val status = "Accelerometer at ${rate.roundToInt()} Hz"
        state.value = StreamState(status = "$status: filling the first window")
        val opened = Stream(demo.pipeline(), rate, OVERLAP) { state.value = StreamState(it, status) }
        stream = opened
        for (early in first) early.pushTo(opened)
        first.clear()
    }

    private fun fail(problem: String) {
        state.value = StreamState(problem = problem)
    }

    private class Sample(val nanoseconds: Long, val x: Float, val y: Float, val z: Float) {
        fun pushTo(stream: Stream) = stream.push(nanoseconds, x, y, z)
    }

    companion object {
        /** Wanted of the sensor; it may send more often. */
        private const val PERIOD_US = 20_000

        const val RATE_SAMPLES = 32

        /** Share of a window that the next one repeats: with 5 s, two answers a second. */
        const val OVERLAP = 0.9

        /** Whole Hz, by the median step of time. */
        private fun rate(samples: List<Sample>): Double {
            val steps = samples.zipWithNext { a, b -> b.nanoseconds - a.nanoseconds }.sorted()
            return max(1.0, (1e9 / max(1L, steps[steps.size / 2])).roundToInt().toDouble())
        }
    }
}
