package org.img2imu.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

/** Lets another app read an archive that the user has shared with it, and nothing else. */
class SharedFiles : ContentProvider() {
    override fun onCreate() = true

    override fun getType(uri: Uri) = "application/zip"

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        if (mode != "r") throw SecurityException("for reading only")
        return ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(
        uri: Uri,
        projection: Array<String>?,
        selection: String?,
        arguments: Array<String>?,
        order: String?,
    ): Cursor {
        val file = file(uri)
        val columns = projection ?: arrayOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)
        val cells = columns.map { column ->
            when (column) {
                OpenableColumns.DISPLAY_NAME -> file.name
                OpenableColumns.SIZE -> file.length()
                else -> null
            }
        }
        return MatrixCursor(columns).apply { addRow(cells) }
    }

    override fun insert(uri: Uri, values: ContentValues?) = throw UnsupportedOperationException()

    override fun update(uri: Uri, values: ContentValues?, selection: String?, arguments: Array<String>?) =
        throw UnsupportedOperationException()

    override fun delete(uri: Uri, selection: String?, arguments: Array<String>?) = throw UnsupportedOperationException()

    private fun file(uri: Uri): File = folder(checkNotNull(context)).listFiles().orEmpty()
        .find { it.name == uri.lastPathSegment } ?: throw FileNotFoundException("$uri")

    companion object {
        fun folder(context: Context) = File(context.cacheDir, "shared")

        fun uri(context: Context, file: File): Uri =
            Uri.Builder().scheme("content").authority("${context.packageName}.shared").appendPath(file.name).build()
    }
}
