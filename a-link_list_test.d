link_list_test.o: tests/unit/rules/link_list_test.cc \
 src/rules/link_list.h src/base/ip.h src/rules/url_pattern.h \
 src/rules/host_pattern.h src/base/host_name.h src/rules/judge.h \
 src/rules/facts.h src/rules/policy_builder.h src/rules/policy.h \
 src/base/file_type.h src/base/file_types.def src/rules/host_table.h \
 src/rules/name_table.h src/base/huge_pages.h src/rules/name_hash.h \
 src/rules/uint128.h src/rules/set_pool.h src/rules/prefix_table.h \
 src/rules/regex_set.h src/rules/schedule.h src/rules/url_table.h
src/rules/link_list.h:
src/base/ip.h:
src/rules/url_pattern.h:
src/rules/host_pattern.h:
src/base/host_name.h:
src/rules/judge.h:
src/rules/facts.h:
src/rules/policy_builder.h:
src/rules/policy.h:
src/base/file_type.h:
src/base/file_types.def:
src/rules/host_table.h:
src/rules/name_table.h:
src/base/huge_pages.h:
src/rules/name_hash.h:
src/rules/uint128.h:
src/rules/set_pool.h:
src/rules/prefix_table.h:
src/rules/regex_set.h:
src/rules/schedule.h:
src/rules/url_table.h:
