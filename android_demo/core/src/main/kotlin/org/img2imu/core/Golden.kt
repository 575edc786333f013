package org.img2imu.core

import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest

/** Gives the content of a file of a folder, by its name: from assets, or from disk. */
fun interface Files {
    /** @throws IOException if there is no such file */
    fun read(name: String): ByteArray
}

/**
 * Known answers in the format of `tests/golden/README.md`.
 *
 * @property samples of a window
 * @property views that the network was trained on
 * @property sensors whose axes a window has, three of each in turn
 * @property windows 3 × sensors × samples each
 * @property images of each window, views × 3 × height × width; empty for an encoder that reads windows
 * @property logits of each window
 * @property rounding how far a logit of each window moves when every sample moves to the next float
 * @property probabilities of each window
 * @property tolerance largest difference allowed, by name
 */
class Golden private constructor(
    val labels: List<String>,
    val samplingRate: Double,
    val samples: Int,
    val sensors: List<Sensor>,
    val views: List<View>,
    val windows: List<FloatArray>,
    val images: List<FloatArray>,
    val logits: List<FloatArray>,
    val rounding: List<Float>,
    val probabilities: List<FloatArray>,
    val tolerance: Map<String, Double>,
) {
    companion object {
        private val TOLERANCES = listOf("images", "logits", "logits_relative", "probabilities")

        /** @throws InputError if a file is missing, damaged or not the one that was written */
        fun read(files: Files): Golden {
            val folder = GoldenFolder(files)
            val settings = folder.settings
            val tolerance = settings.nested("tolerance")
            val arrays = settings.nested("arrays")
            return Golden(
                settings.texts("labels"),
                settings.number("sampling_rate"),
                settings.whole("samples"),
                parseSensors(settings),
                parseViews(settings.list("views")),
                folder.rows(arrays, "windows"),
                if ("images" in arrays) folder.rows(arrays, "images") else emptyList(),
                folder.rows(arrays, "logits"),
                folder.rows(arrays, "logits_rounding").map { it.single() },
                folder.rows(arrays, "probabilities"),
                TOLERANCES.associateWith(tolerance::number),
            )
        }
    }
}

/** `golden.json` and the arrays it describes. */
internal class GoldenFolder(private val files: Files) {
    val settings = Settings.parse(SETTINGS, content(SETTINGS).decodeToString())

    init {
        val format = settings.whole("format")
        ensure(format == FORMAT) { "the golden vectors have format $format; this version reads format $FORMAT" }
    }

    /** A float32 array, cut along its first axis. */
    fun rows(arrays: Settings, name: String): List<FloatArray> {
        val shape = arrays.nested(name).wholes("shape")
        val size = shape.drop(1).fold(1, Int::times)
        val buffer = verified(arrays.nested(name), "<f4", 4).asFloatBuffer()
        return List(shape[0]) { FloatArray(size).also(buffer::get) }
    }

    /** A float64 array of one axis. */
    fun doubles(arrays: Settings, name: String): DoubleArray {
        val buffer = verified(arrays.nested(name), "<f8", 8).asDoubleBuffer()
        return DoubleArray(buffer.remaining()).also(buffer::get)
    }

    private fun verified(array: Settings, type: String, bytes: Int): ByteBuffer {
        val file = array.text("file")
        val content = content(file)
        val size = array.wholes("shape").fold(bytes, Int::times)
        ensure(array.text("dtype") == type) { "$file holds ${array.text("dtype")} instead of $type" }
        ensure(content.size == size) { "$file has ${content.size} bytes instead of $size" }
        ensure(sha256(content) == array.text("sha256")) {
            "$file is not the file that was written: its SHA-256 differs"
        }
        return ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
    }

    private fun content(name: String): ByteArray = try {
        files.read(name)
    } catch (error: IOException) {
        throw InputError("the golden vectors are not whole: $name cannot be read", error)
    }

    private companion object {
        const val SETTINGS = "golden.json"
        const val FORMAT = 1

        fun sha256(content: ByteArray) =
            MessageDigest.getInstance("SHA-256").digest(content).joinToString("") { "%02x".format(it) }
    }
}
