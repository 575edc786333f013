plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

val target = libs.versions.android.target.get().toInt()

android {
    namespace = "org.img2imu.demo"
    compileSdk = target

    defaultConfig {
        applicationId = "org.img2imu.demo"
        minSdk = libs.versions.android.min.get().toInt()
        targetSdk = target
        versionCode = 1
        versionName = "1"
        ndk.abiFilters += listOf("arm64-v8a", "x86_64")
    }

    // What android_demo/make_assets.py makes.
    sourceSets["main"].assets.srcDir("../build/assets")

    buildTypes {
        release {
            // A debuggable app is slower: measure this one.
            signingConfig = signingConfigs["debug"]
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    testOptions.unitTests.isIncludeAndroidResources = true
}

kotlin {
    compilerOptions {
        jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_1_8
    }
}

dependencies {
    implementation(project(":core"))
    implementation(libs.onnxruntime.android)
    implementation(libs.pytorch.android)
    testImplementation(libs.onnxruntime)
    testImplementation(libs.junit)
    testImplementation(libs.kotlin.test.junit)
    testImplementation(libs.serialization.json)
    testImplementation(libs.robolectric)
}

tasks.withType<Test> {
    systemProperty("built", file("../build"))
}
