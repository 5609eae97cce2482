"""What CMake installs is what the folder holds, and CMake reads our files without complaint."""

import shutil
import subprocess

import pytest

from Testing.Repository import module_files, tree

STUB = r"""
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "not understood: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(entry IN LISTS MY_SCRIPTS MY_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${entry}")
      message(FATAL_ERROR "listed but missing: ${entry}")
    endif()
    message(STATUS "INSTALLS ${entry}")
  endforeach()
endfunction()
function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS "${MY_SCRIPT}")
    message(FATAL_ERROR "no such test: ${MY_SCRIPT}")
  endif()
  message(STATUS "TESTS ${MY_TESTNAME_PREFIX}${MY_SCRIPT}")
endfunction()
"""


def test_the_cmake_list_equals_the_tree():
    text = (module_files.MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    assert module_files.listed(text) == module_files.files_of(module_files.MODULE), (
        "run: python Testing/Repository/module_files.py --write"
    )


def test_a_forgotten_file_is_noticed(tmp_path):
    (tmp_path / "Lib").mkdir()
    (tmp_path / "Module.py").touch()
    (tmp_path / "CMakeLists.txt").touch()
    text = "set(MODULE_PYTHON_SCRIPTS\n  )\nset(MODULE_PYTHON_RESOURCES\n  )\n"
    text = module_files.with_lists(text, module_files.files_of(tmp_path))
    assert module_files.listed(text) == module_files.files_of(tmp_path)
    (tmp_path / "Lib" / "Panel.ui").touch()
    assert module_files.listed(text) != module_files.files_of(tmp_path)


def test_nothing_untracked_is_installed():
    text = (module_files.MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    entries = [entry for names in module_files.listed(text).values() for entry in names]
    tracked = {tree.name(path) for path in tree.under("TomoRay")}
    assert {f"TomoRay/{entry}" for entry in entries} <= tracked


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake on this machine")
def test_cmake_configures_the_extension_against_a_stand_in_for_slicer(tmp_path):
    slicer = tmp_path / "slicer"
    slicer.mkdir()
    (slicer / "SlicerConfig.cmake").write_text(STUB, encoding="utf-8")
    (slicer / "nothing.cmake").touch()
    options = [f"-DSlicer_DIR={slicer}", "-DBUILD_TESTING=ON"]
    # Without a compiler: the extension has nothing to compile.
    options += ["-DCMAKE_C_COMPILER=/bin/true", "-DCMAKE_CXX_COMPILER=/bin/true"]
    options += ["-DCMAKE_C_COMPILER_WORKS=1", "-DCMAKE_CXX_COMPILER_WORKS=1"]
    command = ["cmake", "-S", str(tree.ROOT), "-B", str(tmp_path / "build"), *options]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "INSTALLS TomoRay.py" in ran.stdout
    assert ran.stdout.count("TESTS ") == 2
