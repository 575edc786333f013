package org.img2imu.core

import kotlinx.serialization.json.JsonPrimitive
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer

/** What a model takes. */
enum class Form(val text: String) {
    /** A window, 3 × sensors × samples: the drawing is inside. */
    END_TO_END("end-to-end"),

    /** The window's pictures, views × 3 × height × width in [0, 1]. */
    IMAGE("image"),
}

/**
 * What a model file says about itself.
 *
 * @property labels of the classes, in the order of the answers
 * @property samplingRate of the windows, in Hz
 * @property samples of a window
 * @property views that the model was trained on; empty for an encoder that reads windows
 * @property quantization such as `int8`; null for a model in single precision
 * @property sensors whose axes a window has, three of each in turn
 * @property transitions changes of the class a second, by class; null if no labelled recordings told them
 * @property strangeness percentiles 0 to 100 of [Answer.strangeness] in people left out; null if not known
 * @param known JSON of its known answers
 */
class ModelInfo(
    val labels: List<String>,
    val samplingRate: Double,
    val samples: Int,
    val views: List<View>,
    val form: Form,
    val quantization: String? = null,
    val sensors: List<Sensor> = listOf(ACCELEROMETER),
    val transitions: List<List<Double>>? = null,
    val strangeness: List<Double>? = null,
    private val known: String? = null,
) {
    /** Numbers that [Model.run] takes. */
    val inputSize: Int

    init {
        ensure(labels.size >= 2) { "a model needs at least two labels, not ${labels.size}" }
        ensure(labels.distinct().size == labels.size) { "the model's labels repeat: ${labels.joinToString()}" }
        ensure(samplingRate in 1e-3..1e6) { "the model's sampling_rate must be a number of Hz, not $samplingRate" }
        ensure(samples in 2..1_000_000) { "a window of the model must have at least two samples, not $samples" }
        ensure(form == Form.END_TO_END || views.isNotEmpty()) { "a model of the form image needs views" }
        requireDrawn(views, sensors)
        ensure(transitions == null || transitions.size == labels.size) {
            "the model's transitions are of ${transitions?.size} labels, not ${labels.size}"
        }
        ensure(strangeness == null || strangeness.size == PERCENTILES) {
            "the model's strangeness must be told in $PERCENTILES percentiles, not ${strangeness?.size}"
        }
        inputSize = when (form) {
            Form.END_TO_END -> 3 * sensors.size * samples
            Form.IMAGE -> views.sumOf { 3 * it.height * it.width }
        }
    }

    /** Sizes of the model's input, for a batch of one window. */
    fun inputShape(): LongArray = when (form) {
        Form.END_TO_END -> longArrayOf(1, 3L * sensors.size, samples.toLong())
        Form.IMAGE -> {
            val size = longArrayOf(3, views[0].height.toLong(), views[0].width.toLong())
            (if (views.size == 1) longArrayOf(1) else longArrayOf(1, views.size.toLong())) + size
        }
    }

    /**
     * Windows with Python's answers; null if the file holds none.
     *
     * @throws InputError if they are damaged
     */
    fun knownAnswers(): KnownAnswers? = known?.let { KnownAnswers.parse(it, this) }

    companion object {
        private const val FORMAT = 1
        private const val PERCENTILES = 101
        private const val WHAT = "the model's metadata"
        private val TEXTS = setOf("unit", "form", "quantization")
        private val NAMES = TEXTS + setOf("format", "labels", "sampling_rate", "samples", "sensors", "views") +
            setOf("transitions", "strangeness")

        /**
         * Reads the metadata of an ONNX file: texts as they are, anything else as JSON.
         *
         * @throws InputError if something is missing, damaged or of a newer format
         */
        fun parse(metadata: Map<String, String>): ModelInfo {
            val known = metadata.filterKeys { it in NAMES }.mapValues { (name, text) ->
                if (name in TEXTS) JsonPrimitive(text) else Settings.element("the model's $name", text)
            }
            return parse(Settings(WHAT, known), metadata["known_answers"])
        }

        /** Reads the metadata of a TorchScript file, one JSON object; as above. */
        fun parse(json: String): ModelInfo = parse(Settings.parse(WHAT, json), null)

        private fun parse(settings: Settings, known: String?): ModelInfo {
            val format = settings.whole("format")
            ensure(format == FORMAT) { "the model has format $format; this app reads format $FORMAT" }
            return ModelInfo(
                settings.texts("labels"),
                settings.number("sampling_rate"),
                settings.whole("samples"),
                parseViews(settings.list("views")),
                parseForm(settings.text("form")),
                if ("quantization" in settings) settings.text("quantization") else null,
                parseSensors(settings),
                if ("transitions" in settings) settings.rows("transitions") else null,
                if ("strangeness" in settings) settings.numbers("strangeness") else null,
                known,
            )
        }

        private fun parseForm(text: String): Form = Form.entries.find { it.text == text }
            ?: throw InputError("unknown form of model \"$text\"; known: ${Form.entries.joinToString { it.text }}")
    }
}

/** What a model says about a window; the next run overwrites it. */
class Answer(val labels: List<String>) {
    val logits = FloatArray(labels.size)
    val probabilities = FloatArray(labels.size)

    /** How unlike what the model has learnt the window is; NaN where the model does not tell. */
    var strangeness = Float.NaN

    /** Number of the likeliest class. */
    val best: Int
        get() {
            var best = 0
            for (index in probabilities.indices) if (probabilities[index] > probabilities[best]) best = index
            return best
        }

    val label get() = labels[best]

    /** Probability of the likeliest class. */
    val confidence get() = probabilities[best]
}

/** A trained network in a runtime. Not for two threads at once. */
interface Model : AutoCloseable {
    val info: ModelInfo

    /**
     * Classifies one window.
     *
     * @param input [ModelInfo.inputSize] numbers: the window, or its pictures
     * @return the model's own answer object, overwritten by the next run
     */
    fun run(input: FloatArray): Answer
}

internal fun directFloats(count: Int): FloatBuffer =
    ByteBuffer.allocateDirect(4 * count).order(ByteOrder.nativeOrder()).asFloatBuffer()
