# package.cmake: all that is installed beside the programs, and the packages (.deb, .tar.gz) that CPack makes of it.
#   cmake -B build/package -DCMAKE_INSTALL_PREFIX=/usr -DLIVY_HA_TESTS=OFF && cmake --build build/package
#   (cd build/package && cpack)
# The prefix has to be /usr for packages: programs find each other by it, and only then is anything put into /etc.
set(PACKAGING ${CMAKE_CURRENT_SOURCE_DIR}/conf/debian)
set(PREPARED ${CMAKE_BINARY_DIR}/prepared)
set(DOC_DIR ${CMAKE_INSTALL_DATADIR}/doc/livy-ha)

# ---- manual pages, documents, examples -----------------------------------------------------------------------
find_program(GZIP_PROGRAM gzip REQUIRED)
function(livy_ha_compressed source target) # -n: no time in it, so that the same input gives the same package
  add_custom_command(OUTPUT ${target} DEPENDS ${source} VERBATIM
                     COMMAND sh -c "exec \"$0\" -9nc <\"$1\" >\"$2\"" ${GZIP_PROGRAM} ${source} ${target})
endfunction()

file(MAKE_DIRECTORY ${PREPARED})
file(GLOB pages CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/docs docs/*.[1-8])
foreach(page ${pages})
  string(REGEX REPLACE ".*[.]" "man" section ${page})
  livy_ha_compressed(${CMAKE_CURRENT_SOURCE_DIR}/docs/${page} ${PREPARED}/${page}.gz)
  list(APPEND compressed ${PREPARED}/${page}.gz)
  install(FILES ${PREPARED}/${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/${section})
endforeach()
livy_ha_compressed(${PACKAGING}/changelog ${PREPARED}/changelog.gz)
add_custom_target(compressed ALL DEPENDS ${compressed} ${PREPARED}/changelog.gz)
install(FILES ${PREPARED}/changelog.gz ${PACKAGING}/copyright README.md LICENSE DESTINATION ${DOC_DIR})
install(DIRECTORY docs/ DESTINATION ${DOC_DIR} FILES_MATCHING PATTERN "*.md")
install(FILES conf/livy-ha.conf conf/prometheus/livy-ha.rules.yml DESTINATION ${DOC_DIR}/examples)
install(FILES conf/completions/livy-ha-ctl.bash RENAME livy-ha-ctl
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES conf/completions/_livy-ha-ctl DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
foreach(folder container kubernetes haproxy nginx keepalived)
  if(IS_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/conf/${folder})
    install(DIRECTORY conf/${folder} DESTINATION ${DOC_DIR}/examples)
  endif()
endforeach()

# ---- systemd ------------------------------------------------------------------------------------------------
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS systemd/livy-ha.service conf/livy-ha.conf
             ${PACKAGING}/changelog)
file(READ systemd/livy-ha.service LIVY_HA_UNIT)
string(REPLACE "/usr/sbin/livy-ha" "${CMAKE_INSTALL_FULL_SBINDIR}/livy-ha" LIVY_HA_UNIT "${LIVY_HA_UNIT}")
file(WRITE ${PREPARED}/livy-ha.service "${LIVY_HA_UNIT}")
install(FILES ${PREPARED}/livy-ha.service DESTINATION lib/systemd/system)
install(FILES systemd/sysusers.conf DESTINATION lib/sysusers.d RENAME livy-ha.conf)
install(FILES systemd/tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME livy-ha.conf)

# ---- /etc ---------------------------------------------------------------------------------------------------
# The sample with its two settings commented out as well: nothing can start before somebody has configured it.
file(READ conf/livy-ha.conf LIVY_HA_CONF)
string(REGEX REPLACE "\n    (hosts|home) = " "\n    #\\1 = " LIVY_HA_CONF "${LIVY_HA_CONF}")
string(REPLACE "Every other key stands here,\n# commented out," "Every key stands here,\n# commented out,"
       LIVY_HA_CONF "${LIVY_HA_CONF}")
file(WRITE ${PREPARED}/livy-ha.conf "${LIVY_HA_CONF}")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  # Never over a file that is there: it is the user's. (In a package's tree there is none, and dpkg asks.)
  install(CODE "
    foreach(pair \"${PREPARED}/livy-ha.conf:/etc/livy-ha\" \"${PACKAGING}/default/livy-ha:/etc/default\")
      string(REGEX MATCH \"^(.*):(.*)$\" whole \"\${pair}\")
      set(from \"\${CMAKE_MATCH_1}\")
      set(to \"\${CMAKE_MATCH_2}\")
      if(NOT EXISTS \"\$ENV{DESTDIR}\${to}/livy-ha\" AND NOT EXISTS \"\$ENV{DESTDIR}\${to}/livy-ha.conf\")
        file(INSTALL DESTINATION \"\${to}\" TYPE FILE FILES \"\${from}\")
      endif()
    endforeach()")
  install(FILES ${PACKAGING}/lintian-overrides DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides
          RENAME livy-ha)
endif()

# ---- packages ------------------------------------------------------------------------------------------------
file(STRINGS ${PACKAGING}/changelog newest LIMIT_COUNT 1)
if(NOT newest MATCHES "^livy-ha [(]${PROJECT_VERSION}[)]")
  message(FATAL_ERROR "conf/debian/changelog does not begin with version ${PROJECT_VERSION}: ${newest}")
endif()
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_SET_DESTDIR ON) # a tree as on the disk, /etc included
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
set(LIVY_HA_MAINTAINER "The livy-ha authors <livy-ha@localhost>" CACHE STRING "Whom the package names: who distributes it")
set(CPACK_PACKAGE_CONTACT "${LIVY_HA_MAINTAINER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "active/standby Apache Livy, elected in ZooKeeper")
# CPack indents it as a control file wants it.
set(CPACK_PACKAGE_DESCRIPTION
    "livy-ha wraps an unmodified Apache Livy server. The members of a cluster elect
one of them in ZooKeeper; that one runs Livy with session recovery, the others
stand by and take over within milliseconds of its end; where they hold a loaded
Livy, it answers a fraction of a second later.
Two Livys never run on one state store, whatever is killed, frozen or cut off.
.
Livy, Spark and Java are not part of this package.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Only to make the user livy: the small one is enough in a container.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "default-jre-headless, zookeeper")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PACKAGING}/postinst ${PACKAGING}/prerm ${PACKAGING}/postrm
    ${PACKAGING}/conffiles)
include(CPack)
