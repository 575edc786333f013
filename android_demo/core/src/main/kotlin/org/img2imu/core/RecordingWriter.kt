package org.img2imu.core

import java.io.Closeable
import java.io.FileOutputStream
import java.io.IOException
import kotlin.math.abs

/**
 * Writes a recording while it is made, as `img2imu convert` reads it: a CSV file for each sensor.
 *
 * Files are named `accel.csv`, `gyro.csv`, `magn.csv`. Rows have the time in nanoseconds since 1970, three values in
 * the sensor's unit by Android (m/s², rad/s, µT), the label, and the person where one is named. What is half a second
 * old is in the files, in whole rows. Not for two threads at once.
 *
 * @param kinds of the sensors
 * @param person whose movement it is; none if empty
 * @param epoch nanoseconds since 1970 at the sensors' time 0
 * @param open makes the file of a name
 * @throws InputError if a file cannot be written
 */
class RecordingWriter(
    kinds: List<SensorKind>,
    person: String,
    private val epoch: Long,
    open: (String) -> FileOutputStream,
) : Closeable {
    private val owner = if (person.isEmpty()) "" else ",$person"
    private val tracks = kinds.map { Track(written { open("${it.text}.csv") }) }

    /** When which label began; an empty one ends the stretch. */
    private val changes = arrayListOf(Pair(Long.MIN_VALUE, ""))
    private var flushed = 0L

    init {
        val columns = if (person.isEmpty()) "label" else "label,subject"
        for ((kind, track) in kinds.zip(tracks)) {
            val unit = UNITS.getValue(kind)
            track.rows.append("time (ns),x ($unit),y ($unit),z ($unit),$columns\n")
        }
        flush()
    }

    /** Rows of each sensor so far. */
    val counts: List<Int> get() = tracks.map { it.count }

    /** Hz of each sensor in the mean; 0 before its second row. */
    val rates: List<Double> get() = tracks.map { it.rate }

    /** From now on, or from this moment on the sensors' clock, samples have this label; none if empty. */
    fun label(nanoseconds: Long, name: String) {
        changes += Pair(nanoseconds, name)
    }

    /**
     * Takes the next sample of a sensor.
     *
     * @param sensor its number in `kinds`
     * @param nanoseconds on the sensors' clock
     */
    fun push(sensor: Int, nanoseconds: Long, x: Float, y: Float, z: Float) {
        val track = tracks[sensor]
        val rows = track.rows
        rows.append(epoch + nanoseconds)
        for (axis in 0 until 3) rows.append(',').decimals(if (axis == 0) x else if (axis == 1) y else z)
        val label = changes.last { it.first <= nanoseconds }.second
        rows.append(',').append(label).append(owner).append('\n')
        track.took(nanoseconds)
        if (abs(nanoseconds - flushed) >= FLUSH_NS) {
            flush()
            flushed = nanoseconds
        }
    }

    /** Brings all rows so far to the files. */
    fun flush() = tracks.forEach { written(it::flush) }

    override fun close() {
        try {
            flush()
        } finally {
            for (track in tracks) written(track::close)
        }
    }

    private class Track(private val file: FileOutputStream) {
        val rows = StringBuilder()
        var count = 0
            private set
        private var whole = 0L
        private var first = 0L
        private var last = 0L

        val rate get() = if (count < 2 || last <= first) 0.0 else (count - 1) * 1e9 / (last - first)

        fun took(nanoseconds: Long) {
            if (count == 0) first = nanoseconds
            last = nanoseconds
            count++
        }

        fun flush() {
            val bytes = rows.toString().toByteArray()
            rows.setLength(0)
            try {
                file.write(bytes)
                whole += bytes.size
            } catch (error: IOException) {
                // Half a row would be read as one of another label.
                runCatching { file.channel.truncate(whole) }
                throw error
            }
        }

        fun close() = file.close()
    }

    companion object {
        private const val FLUSH_NS = 500_000_000L
        private const val LARGEST = 1e9f
        private const val DECIMALS = 1_000_000L
        private val UNITS = mapOf(
            SensorKind.ACCELEROMETER to "m/s^2",
            SensorKind.GYROSCOPE to "rad/s",
            SensorKind.MAGNETOMETER to "uT",
        )

        /** Spellings of a missing label. */
        private val MISSING = listOf("nan", "na", "n/a", "null")

        /**
         * The names in a line, separated by commas, each once.
         *
         * @throws InputError if one could not be read again
         */
        fun names(line: String): List<String> {
            val names = line.split(',').map { it.trim() }.filter { it.isNotEmpty() }.distinct()
            for (name in names) {
                ensure(name.none { it == '"' || it == ';' || it.isISOControl() }) {
                    "A name may not have quotation marks, semicolons or tabs: $name"
                }
                ensure(name.lowercase() !in MISSING) { "\"$name\" would be read as no name at all: take another" }
            }
            return names
        }

        private inline fun <T> written(work: () -> T): T = try {
            work()
        } catch (error: IOException) {
            val full = "No space" in error.message.orEmpty() || "ENOSPC" in error.message.orEmpty()
            val reason = if (full) "The storage is full" else "The recording cannot be written (${error.message})"
            throw InputError("$reason: what came before is kept", error)
        }

        /** Six decimals, the same in every language; nothing where it is no number. */
        private fun StringBuilder.decimals(value: Float): StringBuilder {
            if (!(abs(value) < LARGEST)) return this
            val scaled = Math.round(abs(value.toDouble()) * DECIMALS)
            if (value < 0 && scaled > 0) append('-')
            append(scaled / DECIMALS).append('.')
            val fraction = scaled % DECIMALS
            var place = DECIMALS / 10
            while (place > 1 && fraction < place) {
                append('0')
                place /= 10
            }
            return append(fraction)
        }
    }
}
