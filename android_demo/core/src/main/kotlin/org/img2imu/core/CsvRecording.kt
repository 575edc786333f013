package org.img2imu.core

import java.io.BufferedReader
import java.io.Reader

/**
 * Samples of a recording in memory.
 *
 * @property nanoseconds time of each sample
 * @property values of each sample in turn: x, y and z of each sensor, in its unit
 * @property labels of each sample; null if the file has none
 * @property rate nominal, in Hz
 */
class CsvRecording private constructor(
    val nanoseconds: LongArray,
    val values: FloatArray,
    val labels: List<String>?,
    val rate: Double,
) {
    val size get() = nanoseconds.size

    companion object {
        private val AXES = listOf("x", "y", "z")
        private const val LARGEST_SECONDS = 9e9

        /**
         * Reads a CSV file with the header `t,x,y,z` or `t,x,y,z,label`: seconds, and g.
         *
         * Axes of other sensors have their name before, as in `gyro.x`.
         *
         * @param name of the file, for messages
         * @param sensors whose axes it has, in this order
         * @throws InputError with the number of the line, if the file is malformed
         */
        fun read(reader: Reader, name: String, sensors: List<Sensor> = listOf(ACCELEROMETER)): CsvRecording {
            val axes = sensors.flatMap { sensor ->
                if (sensor == ACCELEROMETER) AXES else AXES.map { "${sensor.name}.$it" }
            }
            return BufferedReader(reader).use { Parser(it, name, listOf("t") + axes).read() }
        }
    }

    private class Parser(
        private val lines: BufferedReader,
        private val name: String,
        private val names: List<String>,
    ) {
        private var number = 0
        private val times = ArrayList<Long>()
        private val values = ArrayList<Float>()
        private val labels = ArrayList<String>()

        fun read(): CsvRecording {
            val header = next()?.removePrefix("\uFEFF")?.split(',')?.map { it.trim() }
            val labelled = header == names + "label"
            ensure(labelled || header == names) {
                val wanted = names.joinToString(",")
                "$name, line 1: the header must be $wanted or $wanted,label, not ${header?.joinToString(",")}"
            }
            while (true) {
                val line = next() ?: break
                if (line.isNotBlank()) take(line.split(','), labelled)
            }
            val nanoseconds = times.toLongArray()
            return CsvRecording(nanoseconds, values.toFloatArray(), if (labelled) labels else null, rate(nanoseconds))
        }

        private fun rate(nanoseconds: LongArray): Double = try {
            nominalRate(nanoseconds)
        } catch (error: InputError) {
            throw InputError("$name: ${error.message}", error)
        }

        private fun next(): String? = lines.readLine().also { number++ }

        private fun take(cells: List<String>, labelled: Boolean) {
            val expected = if (labelled) names.size + 1 else names.size
            ensure(cells.size == expected) { "$name, line $number: ${cells.size} columns instead of $expected" }
            val seconds = number(cells, 0)
            ensure(seconds > -LARGEST_SECONDS && seconds < LARGEST_SECONDS) {
                "$name, line $number: t must be a finite number of seconds, not ${cells[0].trim()}"
            }
            times += Math.round(seconds * 1e9)
            for (column in 1 until names.size) values += number(cells, column).toFloat()
            if (labelled) labels += cells[names.size].trim()
        }

        private fun number(cells: List<String>, column: Int): Double = cells[column].trim().toDoubleOrNull()
            ?: throw InputError("$name, line $number: ${names[column]} is not a number: \"${cells[column].trim()}\"")
    }
}
