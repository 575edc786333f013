package org.img2imu.demo

import android.content.Context
import android.hardware.Sensor
import android.hardware.SensorEvent
import android.hardware.SensorEventListener
import android.hardware.SensorManager
import org.img2imu.core.InputError
import org.img2imu.core.LIVE_OVERLAP
import org.img2imu.core.Pipeline
import org.img2imu.core.STANDARD_GRAVITY
import org.img2imu.core.SensorKind
import kotlin.math.max
import kotlin.math.roundToInt

/** Android's number of this kind of sensor. */
val SensorKind.type: Int
    get() = when (this) {
        SensorKind.ACCELEROMETER -> Sensor.TYPE_ACCELEROMETER
        SensorKind.GYROSCOPE -> Sensor.TYPE_GYROSCOPE
        SensorKind.MAGNETOMETER -> Sensor.TYPE_MAGNETIC_FIELD
    }

/** Labels what the phone's own sensors tell: those that the model reads. */
class Live(private val demo: Demo) : SensorEventListener {
    val state = Watched(StreamState())

    private val sensors = demo.context.getSystemService(Context.SENSOR_SERVICE) as SensorManager

    @Volatile
    private var running = false

    // Worker thread only, as all that follows.
    private var kinds = emptyList<SensorKind>()

    // A sensor's rate is known only from what it sends: the first samples wait for it.
    private val first = ArrayList<Sample>()
    private var stream: Stream? = null

    /** By which [stream] is labelled: another one begins anew. */
    private var labelling: Pipeline? = null

    /** Listens from now on; without effect while it does. */
    fun start() {
        if (running) return
        running = true
        demo.work(::fail) { if (running) listen(demo.pipeline()) }
    }

    /** Stops listening; what was found stays. */
    fun stop() {
        running = false
        demo.worker.post { if (!running) sensors.unregisterListener(this) }
    }

    private fun listen(pipeline: Pipeline) {
        if (pipeline != labelling) {
            labelling = pipeline
            stream = null
            first.clear()
        }
        val wanted = pipeline.info.sensors
        kinds = wanted.map { it.kind }
        if (kinds.distinct() != kinds) {
            throw InputError("The model reads several devices, ${wanted.joinToString { it.name }}: this phone is one")
        }
        val found = kinds.map { sensors.getDefaultSensor(it.type) to it.title }
        for ((sensor, title) in found) {
            if (sensor == null) throw InputError("This phone has no $title: see the recording instead")
        }
        if (stream == null) state.value = StreamState(status = "Listening")
        for ((sensor, title) in found) {
            if (!sensors.registerListener(this, sensor, PERIOD_US, demo.worker)) {
                sensors.unregisterListener(this)
                throw InputError("The $title cannot be read")
            }
        }
    }

    override fun onSensorChanged(event: SensorEvent) {
        val number = kinds.indexOfFirst { it.type == event.sensor.type }
        val scale = if (kinds[number] == SensorKind.ACCELEROMETER) STANDARD_GRAVITY else 1f
        val (x, y, z) = event.values
        val sample = Sample(number, event.timestamp, x / scale, y / scale, z / scale)
        if (state.value.problem == null) demo.work(::fail) { take(sample) }
    }

    override fun onAccuracyChanged(sensor: Sensor, accuracy: Int) = Unit

    private fun take(sample: Sample) {
        stream?.let { return sample.pushTo(it) }
        first += sample
        val sent = kinds.indices.map { number -> first.filter { it.sensor == number } }
        val silent = sent.indexOfFirst { it.size < RATE_SAMPLES }
        if (silent >= 0) {
            if (first.size > MOST_WAITING) throw InputError("The ${kinds[silent].title} sends nothing")
            return
        }
        open(sent.map(::rate))
    }

    private fun open(rates: List<Double>) {
        val status = kinds.zip(rates) { kind, rate -> "${kind.title} at ${rate.roundToInt()} Hz" }
            .joinToString().replaceFirstChar { it.uppercase() }
        state.value = StreamState(status = "$status: filling the first window")
        val opened = Stream(demo.pipeline(), rates, OVERLAP) { moment, past -> state.value = StreamState(moment, past, status) }
        stream = opened
        for (early in first) early.pushTo(opened)
        first.clear()
    }

    private fun fail(problem: String) {
        stop()
        state.value = StreamState(problem = problem)
    }

    private class Sample(val sensor: Int, val nanoseconds: Long, val x: Float, val y: Float, val z: Float) {
        fun pushTo(stream: Stream) = stream.push(sensor, nanoseconds, x, y, z)
    }

    companion object {
        /** Wanted of each sensor; it may send more often. */
        private const val PERIOD_US = 20_000

        const val RATE_SAMPLES = 32

        /** Samples that wait at most until each sensor has sent enough. */
        private const val MOST_WAITING = 4096

        /** Share of a window that the next one repeats: with 5 s, two answers a second. */
        const val OVERLAP = LIVE_OVERLAP

        /** Whole Hz, by the median step of time. */
        private fun rate(samples: List<Sample>): Double {
            val steps = samples.zipWithNext { a, b -> b.nanoseconds - a.nanoseconds }.sorted()
            return max(1.0, (1e9 / max(1L, steps[steps.size / 2])).roundToInt().toDouble())
        }
    }
}
