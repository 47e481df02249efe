refusal.o: src/flow/refusal.cc src/flow/refusal.h \
 src/record/connection_record.h src/base/ip.h src/base/result.h \
 src/record/close_reasons.def src/record/counters.h \
 src/record/counters.def src/rules/judge.h src/rules/facts.h
src/flow/refusal.h:
src/record/connection_record.h:
src/base/ip.h:
src/base/result.h:
src/record/close_reasons.def:
src/record/counters.h:
src/record/counters.def:
src/rules/judge.h:
src/rules/facts.h:
