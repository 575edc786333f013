package org.img2imu.core

import kotlinx.serialization.json.JsonElement

/**
 * What a model reads of one sensor: a triad of axes.
 *
 * @property name its kind, or a place before that, as in `wrist.gyro`
 */
data class Sensor(val name: String) {
    val kind: SensorKind = SensorKind.entries.find { it.text == name.substringAfterLast('.') }
        ?: throw InputError("unknown sensor \"$name\"; known: ${SensorKind.entries.joinToString { it.text }}")
}

/**
 * Kinds of sensors.
 *
 * @property text last in the names of such sensors
 * @property unit that models take
 * @property title for people
 */
enum class SensorKind(val text: String, val unit: String, val title: String) {
    ACCELEROMETER("accel", "g", "accelerometer"),
    GYROSCOPE("gyro", "rad/s", "gyroscope"),
    MAGNETOMETER("magn", "uT", "magnetometer"),
}

/** What models read where they name no sensors. */
val ACCELEROMETER = Sensor("accel")

/** Sensors in metadata or golden vectors: a list of `name` and `unit`; else `unit`, of the accelerometer. */
internal fun parseSensors(settings: Settings): List<Sensor> {
    if ("sensors" !in settings) {
        requireUnit(ACCELEROMETER, settings.text("unit"))
        return listOf(ACCELEROMETER)
    }
    val sensors = settings.list("sensors").mapIndexed { index, one -> parseSensor(index, one) }
    ensure(sensors.isNotEmpty() && sensors.distinct() == sensors) {
        "sensors must be named, each once, not ${sensors.joinToString { it.name }}"
    }
    return sensors
}

private fun parseSensor(index: Int, element: JsonElement): Sensor {
    val settings = Settings.of("sensor ${index + 1}", element)
    return Sensor(settings.text("name")).also { requireUnit(it, settings.text("unit")) }
}

private fun requireUnit(sensor: Sensor, unit: String) {
    ensure(unit == sensor.kind.unit) {
        "the model takes samples of ${sensor.name} in $unit; this app gives ${sensor.kind.unit}"
    }
}
