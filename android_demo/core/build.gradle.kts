plugins {
    alias(libs.plugins.kotlin.jvm)
}

kotlin {
    compilerOptions {
        jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_1_8
        allWarningsAsErrors = true
        // Nothing newer than Java 8's library, which a phone may not have.
        freeCompilerArgs.add("-Xjdk-release=1.8")
    }
}

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

dependencies {
    implementation(libs.serialization.json)
    // The app brings the Android libraries of both runtimes, which have the same classes.
    compileOnly(libs.onnxruntime)
    compileOnly(libs.pytorch.java.only)
    testImplementation(libs.onnxruntime)
    testImplementation(libs.junit)
    testImplementation(libs.kotlin.test.junit)
}

tasks.test {
    jvmArgs("-XX:-DoEscapeAnalysis")
    systemProperty("golden", file("../../tests/golden"))
    systemProperty("models", file("../build/models"))
}
