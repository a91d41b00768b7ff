# late.cmake - libraries that few commands need are not linked but opened by those (src/base/lib.h): most of what the program would
# load at its start, with the libraries of these libraries.
#
# krait_late(NAME), after pkg_check_modules(NAME IMPORTED_TARGET ...): late_NAME is what to open, the name with the version of its
# interface; late_packages grows by the Debian package that has it.
find_program(DPKG dpkg)
mark_as_advanced(DPKG)
set(late_packages)

function(krait_late name)
  list(GET ${name}_LINK_LIBRARIES 0 path)
  file(REAL_PATH ${path} path)
  execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${path} OUTPUT_VARIABLE said ERROR_QUIET)
  if(NOT said MATCHES "SONAME +([^ \n]+)")
    message(FATAL_ERROR "${path} has no name to be opened by (SONAME), as ${CMAKE_OBJDUMP} -p says; is it a shared library?")
  endif()
  set(late_${name} ${CMAKE_MATCH_1} PARENT_SCOPE)
  if(DPKG)
    execute_process(COMMAND ${DPKG} -S ${path} OUTPUT_VARIABLE said ERROR_QUIET)
    if(said MATCHES "^([^:\n]+)")
      set(late_packages ${late_packages} ${CMAKE_MATCH_1} PARENT_SCOPE)
    endif()
  endif()
endfunction()
