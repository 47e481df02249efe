bump.o: src/flow/bump.cc src/base/check.h src/base/ip.h src/flow/bumper.h \
 src/base/limits.h src/base/result.h src/record/counters.h \
 src/record/connection_record.h src/record/close_reasons.def \
 src/record/counters.def src/tls/context.h src/tls/tickets.h \
 src/tls/leaf_cache.h src/tls/certificate.h src/tls/der.h \
 src/base/byte_reader.h src/tls/mint.h src/tls/authority.h \
 src/tls/private_key.h src/tls/leaf_key.h src/tls/material.h \
 src/tls/trust.h src/tls/revocation.h src/tls/signature.h \
 src/tls/origin_sessions.h src/tls/chain.h src/tls/engine.h \
 src/tls/early_data.h src/tls/engine_fault.def src/tls/verdict_cache.h \
 src/tls/origin_verdict.h src/base/origin_problem.h src/flow/refusal.h \
 src/rules/judge.h src/rules/facts.h src/flow/session.h src/flow/asked.h \
 src/flow/channel.h src/flow/world.h src/config/config.h \
 src/rules/policy.h src/base/file_type.h src/base/file_types.def \
 src/rules/host_table.h src/rules/host_pattern.h src/base/host_name.h \
 src/rules/name_table.h src/base/huge_pages.h src/rules/name_hash.h \
 src/rules/uint128.h src/rules/set_pool.h src/rules/prefix_table.h \
 src/rules/regex_set.h src/rules/schedule.h src/rules/url_table.h \
 src/rules/url_pattern.h src/hello/client_hello.h src/hello/malformed.def \
 src/io/kernel.h src/io/op.h src/io/pipe.h src/io/timer_wheel.h \
 src/record/request_record.h src/flow/dialer.h src/http/headers.h \
 src/tls/reframe.h
src/base/check.h:
src/base/ip.h:
src/flow/bumper.h:
src/base/limits.h:
src/base/result.h:
src/record/counters.h:
src/record/connection_record.h:
src/record/close_reasons.def:
src/record/counters.def:
src/tls/context.h:
src/tls/tickets.h:
src/tls/leaf_cache.h:
src/tls/certificate.h:
src/tls/der.h:
src/base/byte_reader.h:
src/tls/mint.h:
src/tls/authority.h:
src/tls/private_key.h:
src/tls/leaf_key.h:
src/tls/material.h:
src/tls/trust.h:
src/tls/revocation.h:
src/tls/signature.h:
src/tls/origin_sessions.h:
src/tls/chain.h:
src/tls/engine.h:
src/tls/early_data.h:
src/tls/engine_fault.def:
src/tls/verdict_cache.h:
src/tls/origin_verdict.h:
src/base/origin_problem.h:
src/flow/refusal.h:
src/rules/judge.h:
src/rules/facts.h:
src/flow/session.h:
src/flow/asked.h:
src/flow/channel.h:
src/flow/world.h:
src/config/config.h:
src/rules/policy.h:
src/base/file_type.h:
src/base/file_types.def:
src/rules/host_table.h:
src/rules/host_pattern.h:
src/base/host_name.h:
src/rules/name_table.h:
src/base/huge_pages.h:
src/rules/name_hash.h:
src/rules/uint128.h:
src/rules/set_pool.h:
src/rules/prefix_table.h:
src/rules/regex_set.h:
src/rules/schedule.h:
src/rules/url_table.h:
src/rules/url_pattern.h:
src/hello/client_hello.h:
src/hello/malformed.def:
src/io/kernel.h:
src/io/op.h:
src/io/pipe.h:
src/io/timer_wheel.h:
src/record/request_record.h:
src/flow/dialer.h:
src/http/headers.h:
src/tls/reframe.h:
