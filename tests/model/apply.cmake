# Applies a planted bug to a copy of the sources that it changes: cmake -DPATCH= -DSOURCE= -DTO= -DFILES= -P apply.cmake
string(REPLACE "|" ";" FILES "${FILES}")
foreach(file ${FILES})
  get_filename_component(folder ${TO}/${file} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  file(COPY_FILE ${SOURCE}/${file} ${TO}/${file})
endforeach()
execute_process(COMMAND patch -p1 --batch --forward --no-backup-if-mismatch -i ${PATCH} WORKING_DIRECTORY ${TO}
                RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(failed)
  foreach(file ${FILES})
    file(REMOVE ${TO}/${file})
  endforeach()
  message(FATAL_ERROR "the planted bug ${PATCH} does not apply to the sources any more: plant the same bug in them "
                      "as they are now and write the patch anew\n${said}")
endif()
