# The kernels for NVIDIA's devices: every .cu file is compiled to machine code for each architecture by a command of its
# own, so that they run beside each other and only what changed is compiled again. A file's codes make one compressed
# image, and the images go into the library as data. Without nvcc the library is built all the same, with no image.
option(FFAI_CUDA "Compile the kernels for NVIDIA's devices, where there is nvcc" ON)
# 90a: machine code for that compute capability. 120-virtual: PTX, from which the driver makes code for newer devices.
set(FFAI_CUDA_ARCHITECTURES "75;80;86;89;90a;100;120;120-virtual" CACHE STRING
    "What the CUDA kernels are compiled for: 90a is machine code, 120-virtual PTX for devices to come")
option(FFAI_CUDA_LINES "Keep in the CUDA kernels which line an instruction is of: for profilers, twice as large" OFF)
set(FFAI_CUDA_OLDEST 13.0) # nvcc with every one of these and --compress-mode

# tools/setup --cuda puts nvcc there.
if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(cache $ENV{XDG_CACHE_HOME})
else()
    set(cache $ENV{HOME}/.cache)
endif()

function(ffai__nvcc_is_new_enough result program)
    execute_process(COMMAND ${program} --version OUTPUT_VARIABLE version ERROR_QUIET)
    if(NOT version MATCHES "release ([0-9.]+)" OR CMAKE_MATCH_1 VERSION_LESS FFAI_CUDA_OLDEST)
        set(${result} FALSE PARENT_SCOPE)
    endif()
endfunction()

if(FFAI_NVCC AND NOT EXISTS ${FFAI_NVCC})
    unset(FFAI_NVCC CACHE) # it has gone since: look again
endif()
find_program(FFAI_NVCC nvcc PATHS /usr/local/cuda/bin ${cache}/ffai/cuda-toolkit/nvidia/cu13/bin
    VALIDATOR ffai__nvcc_is_new_enough DOC "NVIDIA's compiler of the CUDA kernels, ${FFAI_CUDA_OLDEST} or newer")

# What nvcc says to an empty file: it needs a C++ compiler, and not every one will do.
if(FFAI_CUDA AND FFAI_NVCC AND NOT FFAI_NVCC_WORKS STREQUAL FFAI_NVCC)
    file(WRITE ${CMAKE_BINARY_DIR}/cuda/empty.cu "")
    execute_process(COMMAND ${FFAI_NVCC} -cubin -arch=sm_90a -o ${CMAKE_BINARY_DIR}/cuda/empty.cubin
        ${CMAKE_BINARY_DIR}/cuda/empty.cu RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
    unset(FFAI_NVCC_WORKS CACHE)
    if(status EQUAL 0)
        set(FFAI_NVCC_WORKS ${FFAI_NVCC} CACHE INTERNAL "this nvcc has compiled something")
    endif()
endif()

set(FFAI_CUDA_REASON) # why there will be no kernels
if(NOT FFAI_CUDA)
    set(FFAI_CUDA_REASON "CUDA: FFAI_CUDA is off: NVIDIA's devices are not supported by this build")
elseif(NOT FFAI_NVCC)
    set(FFAI_CUDA_REASON "CUDA: no nvcc: NVIDIA's devices are not supported by this build; tools/setup --cuda installs it")
elseif(NOT FFAI_NVCC_WORKS)
    string(STRIP "${status} ${said}" said)
    set(FFAI_CUDA_REASON
        "CUDA: ${FFAI_NVCC} does not work (${said}): NVIDIA's devices are not supported by this build")
endif()
if(FFAI_CUDA_REASON)
    message(STATUS "${FFAI_CUDA_REASON}")
else()
    list(JOIN FFAI_CUDA_ARCHITECTURES " " architectures)
    message(STATUS "CUDA: ${FFAI_NVCC} compiles for ${architectures}")
endif()

# Products and sums are fused where the code says so (fmaf), as in the C of the CPU's kernels.
set(FFAI_CUDA_FLAGS -std=c++17 -O3 -fmad=false -Werror all-warnings)
if(FFAI_CUDA_LINES)
    list(APPEND FFAI_CUDA_FLAGS -lineinfo)
endif()

# One file for one architecture. Sets ${out} to what fatbinary is told about the result.
function(ffai__cuda_compile out source architecture)
    get_filename_component(name ${source} NAME_WE)
    if(architecture MATCHES "^([0-9]+[af]?)-virtual$")
        set(code ${CMAKE_BINARY_DIR}/cuda/${name}.${CMAKE_MATCH_1}.ptx)
        set(kind -ptx -arch=compute_${CMAKE_MATCH_1})
        set(image "kind=ptx,sm=${CMAKE_MATCH_1},file=${code}")
    elseif(architecture MATCHES "^[0-9]+[af]?$")
        set(code ${CMAKE_BINARY_DIR}/cuda/${name}.${architecture}.cubin)
        set(kind -cubin -arch=sm_${architecture})
        set(image "kind=elf,sm=${architecture},file=${code}")
    else()
        message(FATAL_ERROR "FFAI_CUDA_ARCHITECTURES: \"${architecture}\" is neither a number, such as 90a, nor one "
            "with -virtual, such as 120-virtual")
    endif()
    add_custom_command(OUTPUT ${code}
        COMMAND ${FFAI_NVCC} ${FFAI_CUDA_FLAGS} ${kind} -MD -MF ${code}.d -o ${code} ${source}
        DEPENDS ${source} DEPFILE ${code}.d COMMENT "CUDA ${name}.cu for ${architecture}" VERBATIM)
    set(${out} ${image} PARENT_SCOPE)
endfunction()

# One file for every architecture, in ${out}.
function(ffai__cuda_image out source)
    get_filename_component(name ${source} NAME_WE)
    get_filename_component(tools ${FFAI_NVCC} DIRECTORY)
    set(image ${CMAKE_BINARY_DIR}/cuda/${name}.fatbin)
    set(parts)
    set(files)
    foreach(architecture ${FFAI_CUDA_ARCHITECTURES})
        ffai__cuda_compile(part ${source} ${architecture})
        list(APPEND parts --image3=${part})
        string(REGEX REPLACE "^.*file=" "" file ${part})
        list(APPEND files ${file})
    endforeach()
    add_custom_command(OUTPUT ${image}
        COMMAND ${tools}/fatbinary -64 --compress-all --compress-mode=size --create=${image} ${parts}
        DEPENDS ${files} COMMENT "CUDA image of ${name}.cu" VERBATIM)
    set(${out} ${image} PARENT_SCOPE)
endfunction()

# The kernels of a folder become part of the target: ffai__cuda_images in the folder's images.h.
function(ffai_cuda_kernels target folder)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cu)
    set(list)
    set(images)
    set(architectures)
    if(NOT FFAI_CUDA_REASON)
        list(JOIN FFAI_CUDA_ARCHITECTURES " " architectures)
        foreach(source ${sources})
            ffai__cuda_image(image ${source})
            list(APPEND images ${image})
            get_filename_component(name ${source} NAME_WE)
            string(APPEND list "IMAGE(${name}, \"${image}\")\n")
        endforeach()
        add_custom_target(cuda_images DEPENDS ${images})
    else()
        add_custom_target(cuda_images COMMAND ${CMAKE_COMMAND} -E echo "${FFAI_CUDA_REASON}"
            COMMAND ${CMAKE_COMMAND} -E false VERBATIM)
    endif()
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/cuda/images.def CONTENT "${list}" @ONLY)
    target_sources(${target} PRIVATE ${folder}/images.c)
    set_source_files_properties(${folder}/images.c PROPERTIES OBJECT_DEPENDS "${images}" COMPILE_DEFINITIONS
        "FFAI_CUDA_IMAGES=\"${CMAKE_BINARY_DIR}/cuda/images.def\";FFAI_CUDA_ARCHITECTURES=\"${architectures}\"")
endfunction()
