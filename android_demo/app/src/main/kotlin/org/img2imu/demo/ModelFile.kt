package org.img2imu.demo

import android.content.Context
import org.img2imu.core.Execution
import org.img2imu.core.InputError
import org.img2imu.core.Model
import org.img2imu.core.OnnxModel
import java.io.File
import java.io.IOException
import java.io.InputStream

/** A model that this app can run: one of its own, or one that was opened. */
interface ModelFile {
    /** Name in intents and reports. */
    val key: String
    val title: String

    /** Name of the file. */
    val file: String
    val runtime: String

    fun bytes(context: Context): Long

    /**
     * Opens the model.
     *
     * @param profile see [OnnxModel.open]
     * @throws InputError in one sentence, if the file or its runtime is missing or broken
     */
    fun open(context: Context, execution: Execution = Execution(), profile: String? = null): Model
}

/** A file that the user brought. */
data class OpenedFile(private val path: File) : ModelFile {
    override val key get() = "opened"
    override val title get() = path.name
    override val file: String get() = path.name
    override val runtime get() = "ONNX Runtime"

    override fun bytes(context: Context) = path.length()

    override fun open(context: Context, execution: Execution, profile: String?): Model = try {
        OnnxModel.open(path.path, execution, profile)
    } catch (error: InputError) {
        throw InputError("$title: ${error.message}", error)
    }
}

/**
 * The files that the user brought, by the document picker or over adb, in a folder of the app's own.
 *
 * @param mostBytes that a file may have
 */
class OpenedFiles(private val context: Context, private val mostBytes: Long = 256L shl 20) {
    init {
        // A folder that adb had to make might not be the app's to read.
        context.getExternalFilesDir(FOLDER)
    }

    fun list(): List<OpenedFile> =
        context.getExternalFilesDir(FOLDER)?.listFiles { file -> ENDING.containsMatchIn(file.name) && file.name[0] != '.' }
            .orEmpty().sorted().map(::OpenedFile)

    /** @throws InputError if there is none of that name */
    fun find(name: String): OpenedFile = list().find { it.file == name }
        ?: throw InputError("There is no model $name in $FOLDER of the app's folder")

    /**
     * Copies a file here, whole or not at all, after it could be opened.
     *
     * @param name that its source gives it
     * @throws InputError in one sentence, if it is no model of this toolkit, too large, or cannot be read
     */
    fun add(name: String, source: InputStream): OpenedFile {
        ensureModel(name)
        val folder = context.getExternalFilesDir(FOLDER) ?: throw InputError(NO_STORAGE)
        val target = File(folder, name.replace(UNFIT, "_").takeLast(MOST_LETTERS))
        // The ending stays: by it the runtime tells the format.
        val partial = File(folder, ".${target.name}")
        try {
            partial.outputStream().use { copy(name, source, it::write) }
            OpenedFile(partial).run { open(context).close() }
            if (!partial.renameTo(target)) throw IOException("it cannot be renamed")
        } catch (error: IOException) {
            throw InputError("$name cannot be copied: ${error.message}", error)
        } finally {
            partial.delete()
        }
        return OpenedFile(target)
    }

    private fun ensureModel(name: String) {
        if (!ENDING.containsMatchIn(name)) {
            throw InputError("$name is no model: img2imu export writes .onnx and .ort")
        }
    }

    private fun copy(name: String, source: InputStream, write: (ByteArray, Int, Int) -> Unit) {
        val block = ByteArray(1 shl 16)
        var bytes = 0L
        while (true) {
            val count = source.read(block)
            if (count < 0) return
            bytes += count
            if (bytes > mostBytes) throw InputError("$name is larger than ${mostBytes shr 20} MB: too large for a phone")
            write(block, 0, count)
        }
    }

    companion object {
        const val NO_STORAGE = "This phone has no storage for reports and models at present"

        /** In the app's own folder. */
        private const val FOLDER = "models"
        private const val MOST_LETTERS = 100
        private val ENDING = Regex("\\.(onnx|ort)$")
        private val UNFIT = Regex("[^A-Za-z0-9._-]")
    }
}
