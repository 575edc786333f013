package org.img2imu.core

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.put

/**
 * A benchmark as JSON, every single run included.
 *
 * @param measurements what was measured
 * @param device model, system, thermal state and the like, as told by the app: texts, numbers,
 *     booleans, null, and maps and lists of these
 * @param settings what was chosen: the model's file, runtime, threads; values as in [device]
 */
fun reportJson(measurements: Measurements, device: Map<String, Any?>, settings: Map<String, Any?>): String {
    val report = buildJsonObject {
        put("format", 1)
        put("kind", "img2imu android bench")
        put("settings", json(settings))
        put("model", modelJson(measurements.model))
        put("protocol", protocolJson(measurements.protocol))
        put("device", json(device))
        put("cold_start_ms", measurements.coldStart)
        put("stages", JsonObject(measurements.stages.mapValues { timingJson(it.value) }))
    }
    return PRETTY.encodeToString(JsonElement.serializer(), report)
}

private val PRETTY = Json { prettyPrint = true }

private fun protocolJson(protocol: Protocol) = json(
    mapOf("warm_up" to protocol.warmUp, "runs" to protocol.runs, "seconds" to protocol.seconds),
)

private fun modelJson(model: ModelInfo) = json(
    mapOf(
        "form" to model.form.text,
        "quantization" to model.quantization,
        "labels" to model.labels,
        "sampling_rate" to model.samplingRate,
        "samples" to model.samples,
        "pictures" to model.views.map { "${it.width}x${it.height}" },
    ),
)

private fun timingJson(timing: Timing) = json(
    mapOf(
        "runs" to timing.nanoseconds.size,
        "p50_ms" to timing.percentile(50.0),
        "p90_ms" to timing.percentile(90.0),
        "p95_ms" to timing.percentile(95.0),
        "p99_ms" to timing.percentile(99.0),
        "max_ms" to timing.max,
        "mean_ms" to timing.mean,
        "samples_ns" to timing.nanoseconds.asList(),
    ),
)

private fun json(value: Any?): JsonElement = when (value) {
    null -> JsonNull
    is String -> JsonPrimitive(value)
    is Boolean -> JsonPrimitive(value)
    // JSON has no word for these.
    is Double -> if (value.isFinite()) JsonPrimitive(value) else JsonNull
    is Float -> if (value.isFinite()) JsonPrimitive(value) else JsonNull
    is Number -> JsonPrimitive(value)
    is Map<*, *> -> JsonObject(value.entries.associate { (name, item) -> name.toString() to json(item) })
    is Iterable<*> -> JsonArray(value.map(::json))
    else -> throw IllegalArgumentException("no JSON for ${value::class.java.name}")
}
