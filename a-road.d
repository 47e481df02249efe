road.o: src/flow/road.cc src/flow/road.h src/config/config.h \
 src/base/ip.h src/base/origin_problem.h src/rules/policy.h \
 src/base/file_type.h src/base/file_types.def src/rules/facts.h \
 src/rules/host_table.h src/rules/host_pattern.h src/base/host_name.h \
 src/rules/name_table.h src/base/huge_pages.h src/rules/name_hash.h \
 src/rules/uint128.h src/rules/set_pool.h src/rules/judge.h \
 src/rules/prefix_table.h src/rules/regex_set.h src/rules/schedule.h \
 src/rules/url_table.h src/rules/url_pattern.h \
 src/record/connection_record.h src/base/result.h \
 src/record/close_reasons.def src/base/check.h src/flow/refusal.h \
 src/record/counters.h src/record/counters.def
src/flow/road.h:
src/config/config.h:
src/base/ip.h:
src/base/origin_problem.h:
src/rules/policy.h:
src/base/file_type.h:
src/base/file_types.def:
src/rules/facts.h:
src/rules/host_table.h:
src/rules/host_pattern.h:
src/base/host_name.h:
src/rules/name_table.h:
src/base/huge_pages.h:
src/rules/name_hash.h:
src/rules/uint128.h:
src/rules/set_pool.h:
src/rules/judge.h:
src/rules/prefix_table.h:
src/rules/regex_set.h:
src/rules/schedule.h:
src/rules/url_table.h:
src/rules/url_pattern.h:
src/record/connection_record.h:
src/base/result.h:
src/record/close_reasons.def:
src/base/check.h:
src/flow/refusal.h:
src/record/counters.h:
src/record/counters.def:
