# libffai: the code of every directory in one library, static and shared. In the shared one the public functions
# alone are visible. Programs link libffai_static and so see include/ffai and nothing of src.
get_property(directories DIRECTORY ${PROJECT_SOURCE_DIR}/src PROPERTY BUILDSYSTEM_TARGETS)
set(objects)
foreach(directory ${directories})
    get_target_property(type ${directory} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
        list(APPEND objects $<TARGET_OBJECTS:${directory}>)
    endif()
endforeach()

add_library(libffai_static STATIC ${objects})
add_library(libffai_shared SHARED ${objects})
foreach(library libffai_static libffai_shared)
    set_target_properties(${library} PROPERTIES OUTPUT_NAME ffai LINKER_LANGUAGE C)
    target_include_directories(${library} INTERFACE ${PROJECT_SOURCE_DIR}/include)
    target_link_libraries(${library} PRIVATE
        PkgConfig::JANSSON PkgConfig::HWLOC PkgConfig::PCRE2 PkgConfig::UTF8PROC Threads::Threads m)
endforeach()
set_target_properties(libffai_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
if(NOT FFAI_SANITIZE) # a sanitizer's own symbols come from the program
    target_link_options(libffai_shared PRIVATE -Wl,--no-undefined)
endif()
