#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/clock/clock.h"

namespace yagura::testing {

// Deterministic FortiGate log lines, and the truth about them, so that a test can assert exact
// counts at the far end. The same options give the same lines on every machine. Every line is
// unique: its session id (or, for lines without a session, its sequence number) is its number.
// Addresses are of the documentation and private ranges.
class FortigateLines {
 public:
  struct Options {
    uint64_t seed = 1;
    TimePoint start{std::chrono::seconds(1'790'000'000)};  // event time of the first line
    std::chrono::microseconds step{1000};                  // from line to line
    std::string device_name = "fw-edge-01";
    std::string serial = "FGT60FTK00000001";
    std::string virtual_context = "root";
    bool syslog_header = true;  // "<189>" before the line, as a device sends it
  };

  // What the lines made so far hold.
  struct Counts {
    uint64_t lines = 0;
    uint64_t traffic = 0;         // type=traffic
    uint64_t denied = 0;          // type=traffic action=deny
    uint64_t web_blocked = 0;     // type=utm subtype=webfilter action=blocked
    uint64_t intrusions = 0;      // type=utm subtype=ips
    uint64_t logins_failed = 0;   // type=event action=login status=failed
    uint64_t logins = 0;          // type=event action=login status=success
    uint64_t sent_bytes = 0;      // sum of sentbyte over traffic
    uint64_t received_bytes = 0;  // sum of rcvdbyte over traffic
    std::map<std::string, uint64_t> intrusions_by_signature;
    std::map<std::string, uint64_t> denied_by_source;         // by srcip
    std::map<std::string, uint64_t> logins_failed_by_source;  // by srcip
  };

  FortigateLines();
  explicit FortigateLines(Options options);

  // The next line, without a line end.
  std::string Next();
  const Counts& counts() const { return counts_; }

 private:
  uint64_t Random(uint64_t below);
  std::string Head(const char* type, const char* log_id, const char* level) const;
  std::string Traffic();
  std::string WebFilter();
  std::string Intrusion();
  std::string Login();
  std::string System();

  const Options options_;
  Counts counts_;
  uint64_t state_;
};

}  // namespace yagura::testing
