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
 * What is said of a benchmark beside its times.
 *
 * @property execution as it was asked for
 * @property tested the comparison with Python; null where the file holds no known answers
 * @property profile of the runtime; null where it tells none
 * @property fileBytes of the model
 */
class Verdict(
    val execution: Execution,
    val tested: SelfTestResult?,
    val profile: Profile?,
    val fileBytes: Long,
    measured: Measurements,
) {
    val taken = profile?.taken(execution.provider)

    /** Why the latency should not be quoted. */
    val objections = objections(measured, tested, taken)

    /** One line that says whether it may be. */
    val line = if (objections.isEmpty()) "Valid" else "Not valid: ${objections.joinToString("; ")}"
}

/** Of [reportJson]. */
const val REPORT_FORMAT = 2

/**
 * A benchmark as JSON, every single run included except of a sustained one.
 *
 * @param measured what was measured
 * @param device model, system, battery and the like, as told by the app: texts, numbers,
 *     booleans, null, and maps and lists of these
 * @param settings what was chosen: the model's file and runtime; values as in [device]
 */
fun reportJson(
    measured: Measurements,
    verdict: Verdict,
    device: Map<String, Any?>,
    settings: Map<String, Any?>,
): String {
    val report = buildJsonObject {
        put("format", REPORT_FORMAT)
        put("kind", "img2imu android bench")
        put("settings", json(settings + executionMap(verdict)))
        put("model", modelJson(measured.model))
        put("protocol", protocolJson(measured))
        put("device", json(device + deviceMap(measured.conditions)))
        put("validity", json(mapOf("valid" to verdict.objections.isEmpty(), "objections" to verdict.objections)))
        put("memory", memoryJson(measured.conditions, verdict.fileBytes))
        put("energy", measured.conditions.run { json(mapOf("joules_per_run" to joules, "note" to energyNote)) })
        put("cold_start_ms", measured.coldStart)
        put("stages", JsonObject(measured.stages.mapValues { timingJson(it.value, measured.curve.isEmpty()) }))
        put("curve", json(measured.curve.map(::pointMap)))
        put("operators", json(verdict.profile?.operators.orEmpty().map(::operatorMap)))
    }
    return PRETTY.encodeToString(JsonElement.serializer(), report)
}

private val PRETTY = Json { prettyPrint = true }

private fun executionMap(verdict: Verdict) = mapOf(
    "threads" to verdict.execution.threads,
    "provider" to verdict.execution.provider.key,
    "taken" to verdict.taken?.run {
        mapOf("nodes" to nodes, "of" to all, "time_share" to time, "fell_back" to fellBack)
    },
    "self_test" to verdict.tested?.run {
        mapOf(
            "passed" to passed,
            "windows" to windows,
            "wrong_labels" to labels,
            "image_difference" to images,
            "logits_difference" to logits,
            "probability_difference" to probabilities,
        )
    },
)

private fun protocolJson(measured: Measurements) = measured.protocol.run {
    json(
        mapOf(
            "mode" to mode.key,
            "warm_up" to warmUp,
            "runs" to runs,
            "seconds" to seconds,
            "cool_down" to coolDown,
            "hop_ms" to if (mode == Mode.PACED) 1e3 * hop(measured.model) else null,
        ),
    )
}

private fun deviceMap(conditions: Conditions) = mapOf(
    "thermal" to mapOf(
        "before" to thermalName(conditions.before.thermal),
        "after" to thermalName(conditions.after.thermal),
        "hottest" to thermalName(conditions.hottest),
        "headroom_before" to conditions.before.headroom,
        "headroom_after" to conditions.after.headroom,
    ),
    "power_save" to conditions.powerSave,
    "in_foreground" to conditions.inForeground,
    "cooled_down_s" to conditions.coolDown,
)

/** The weights come from the file, whoever computes: what is left is the runtime's own. */
private fun memoryJson(conditions: Conditions, fileBytes: Long) = json(
    mapOf(
        "pss_change" to conditions.memory,
        "model_file" to fileBytes,
        "apart_from_file" to conditions.memory?.let { it - fileBytes },
    ),
)

private fun pointMap(point: Point) = mapOf(
    "seconds" to point.seconds,
    "runs" to point.runs,
    "p50_ms" to point.p50,
    "p90_ms" to point.p90,
    "thermal" to thermalName(point.state.thermal),
    "headroom" to point.state.headroom,
)

private fun operatorMap(operator: Operator) = mapOf(
    "name" to operator.name,
    "provider" to operator.provider,
    "nodes" to operator.nodes,
    "ms" to operator.milliseconds,
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

private fun timingJson(timing: Timing, everyRun: Boolean) = json(
    mapOf(
        "runs" to timing.nanoseconds.size,
        "seconds" to timing.seconds,
        "p50_ms" to timing.percentile(50.0),
        "p90_ms" to timing.percentile(90.0),
        "p95_ms" to timing.percentile(95.0),
        "p99_ms" to timing.percentile(99.0),
        "max_ms" to timing.max,
        "mean_ms" to timing.mean,
    ) + if (everyRun) mapOf("samples_ns" to timing.nanoseconds.asList()) else emptyMap(),
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
