# find_package(krait) gives krait::krait, the shared library.
# find_package(krait COMPONENTS static) also gives krait::static with what it links.
include("${CMAKE_CURRENT_LIST_DIR}/kraitTargets.cmake")
if("static" IN_LIST krait_FIND_COMPONENTS)
  include(CMakeFindDependencyMacro)
  find_dependency(OpenMP COMPONENTS C)
  find_dependency(PkgConfig)
  pkg_check_modules(KRAIT_JANSSON REQUIRED IMPORTED_TARGET jansson)
  pkg_check_modules(KRAIT_KISSFFT REQUIRED IMPORTED_TARGET kissfft-float)
  set_property(TARGET krait::static APPEND PROPERTY INTERFACE_LINK_LIBRARIES
               OpenMP::OpenMP_C PkgConfig::KRAIT_JANSSON PkgConfig::KRAIT_KISSFFT m)
endif()
set(krait_static_FOUND TRUE)
