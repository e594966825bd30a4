# What make install puts in place.
# The prefix is worked out from the file's own place, so that cmake --install --prefix needs no new configuration.
file(RELATIVE_PATH FFAI_PC_PREFIX
    ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/ffai.pc.in ${CMAKE_BINARY_DIR}/ffai.pc @ONLY)

if(TARGET ffai)
    install(TARGETS ffai)
endif()
install(TARGETS libffai_static libffai_shared)
install(DIRECTORY include/ffai TYPE INCLUDE FILES_MATCHING PATTERN "*.h")
install(FILES ${CMAKE_BINARY_DIR}/ffai.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES share/man/ffai.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)
install(FILES share/completions/bash/ffai
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions OPTIONAL)
install(FILES share/completions/zsh/_ffai DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions OPTIONAL)
install(FILES share/completions/fish/ffai.fish
    DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d OPTIONAL)
install(FILES LICENSE README.md TYPE DOC OPTIONAL)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.png")
# Links from the documents to what is not installed beside them become plain words.
install(CODE "cmake_path(APPEND documents \"\${CMAKE_INSTALL_PREFIX}\" \"${CMAKE_INSTALL_DOCDIR}\")")
install(CODE [=[
set(documents "$ENV{DESTDIR}${documents}")
file(GLOB files "${documents}/README.md" "${documents}/docs/*.md")
foreach(file IN LISTS files)
    file(READ "${file}" text)
    string(REGEX REPLACE "\\[([^]]+)\\]\\((\\.\\./)?(bench|examples|include|src|tests|tools)[^)]*\\)" "\\1" plain "${text}")
    if(NOT plain STREQUAL text)
        file(WRITE "${file}" "${plain}")
    endif()
endforeach()
]=])
