#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/text/text.h"
#include "services/ingestion/domain/parsers/parser.h"

namespace yagura::ingestion {

// The typed core, and the product, from fields that are known by their names, whoever wrote the
// line: Windows and Sysmon (as JSON, XML or Snare's text), Zeek (JSON or tables), Suricata,
// ModSecurity, applications. Of one line: give every field to See, then call Finish.
class NamedCore {
 public:
  enum class Key : uint8_t;

  NamedCore(const LineInput& input, TextArena& arena, ParsedLine* parsed)
      : input_(input), arena_(arena), parsed_(parsed), event_(parsed->event) {}

  void See(std::string_view name, std::string_view value) {
    const auto found = keys_.find(name);
    if (found != keys_.end()) Set(found->second, value);
  }
  // Whether a shipper wrapped a Windows event: its names are to be taken off (windows_names.h).
  bool wrapped_windows() const { return wrapped_windows_; }
  // Product, category, and what only the whole line tells.
  void Finish();

 private:
  // What the names found so far say.
  struct Marks {
    std::string_view channel;
    std::string_view level;
    std::string_view subject;
    std::string_view status;
    std::string_view zeek_stream;
    std::string_view uid;
    std::string_view suricata_type;
    std::string_view suricata_action;
    std::string_view grade;
    std::string_view seconds;
    std::string_view url_path;
    std::string_view query;
    std::string_view response;
    std::string_view utc_time;
    std::string_view request_line;
    bool windows = false;
    bool zeek = false;
    bool suricata = false;
    bool modsecurity = false;
    bool stopped = false;
  };

  // The better, the greater: of a line's times the best counts, of equal ones the first.
  enum class TimeRank : uint8_t {
    kNone,
    kLocal,  // in the source's zone, as it said none
    kUtc,    // as its name says
    kZoned,
  };

  static const StringMap<Key>& KeysByName();
  void Set(Key key, std::string_view value);
  void SetTime(std::string_view value);
  void SetUtcTime();
  std::optional<TimePoint> OtherTime(std::string_view value, bool* zone_used) const;
  void SetUrl();
  void FinishWindows();
  void FinishZeek();
  void FinishSuricata();
  void FinishModsecurity();

  const StringMap<Key>& keys_ = KeysByName();
  const LineInput& input_;
  TextArena& arena_;
  ParsedLine* parsed_;
  event::EventView& event_;
  Marks marks_;
  TimeRank time_rank_ = TimeRank::kNone;
  bool host_seen_ = false;
  bool wrapped_windows_ = false;
};

}  // namespace yagura::ingestion
