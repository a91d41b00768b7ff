# install.cmake - what `cmake --install` and `cpack` put where.
#
#   bin/krait  lib/libkrait.so  lib/libkrait.a  include/krait.h  include/krait/*.h
#   lib/pkgconfig/krait.pc  lib/cmake/krait/  share/krait/recipes/  share/krait/models/
#
# Nothing in them holds the prefix, so the tree can be moved.
include(CMakePackageConfigHelpers)

set_target_properties(krait PROPERTIES EXPORT_NAME static)
set_target_properties(krait_shared PROPERTIES EXPORT_NAME krait)
install(TARGETS krait krait_shared EXPORT kraitTargets)
install(TARGETS krait_cli)
if(KRAIT_CUDA)
  install(TARGETS krait_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/krait/models)
install(DIRECTORY recipes/ DESTINATION ${CMAKE_INSTALL_DATADIR}/krait/recipes)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

file(RELATIVE_PATH to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
set(pc_flags ${OpenMP_C_FLAGS})
set(pc_modules ${more_modules})
list(TRANSFORM pc_modules PREPEND ", ")
list(JOIN pc_modules "" pc_modules)
configure_file(cmake/krait.pc.in krait.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/krait.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/krait)
install(EXPORT kraitTargets NAMESPACE krait:: DESTINATION ${cmake_dir})
write_basic_package_version_file(kraitConfigVersion.cmake COMPATIBILITY SameMinorVersion)
configure_file(cmake/kraitConfig.cmake.in kraitConfig.cmake @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/kraitConfig.cmake ${PROJECT_BINARY_DIR}/kraitConfigVersion.cmake DESTINATION ${cmake_dir})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The Krait authors <krait@localhost>")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
find_program(DPKG_SHLIBDEPS dpkg-shlibdeps)
mark_as_advanced(DPKG_SHLIBDEPS)
if(DPKG_SHLIBDEPS)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  list(JOIN late_packages ", " CPACK_DEBIAN_PACKAGE_DEPENDS) # which it does not see
endif()
set(CPACK_STRIP_FILES ON)
include(CPack)
