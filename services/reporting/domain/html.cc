#include "services/reporting/domain/html.h"

#include <array>
#include <vector>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "services/reporting/domain/month.h"

namespace yagura::reporting {
namespace {

constexpr std::string_view kStyle = R"(
body{font:15px/1.6 "Hiragino Sans","Noto Sans JP","Segoe UI",sans-serif;color:#1c2733;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;border-bottom:3px solid #1f5f8b;padding-bottom:.4rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}th,td{border-bottom:1px solid #d7dee6;padding:.3rem .6rem;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.bar{display:inline-block;height:.7em;background:#1f5f8b}.note{color:#52606d}.warn{background:#fff4e0;border-left:4px solid #d98200;padding:.5rem .8rem}
.up{color:#a33}.down{color:#276b3c}@media print{body{margin:0;max-width:none}}
)";

enum class Text {
  kTitle,
  kPeriod,
  kMade,
  kPreliminary,
  kSummary,
  kEvents,
  kFindings,
  kOpened,
  kResolved,
  kThisMonth,
  kLastMonth,
  kDifference,
  kByAction,
  kTopSignatures,
  kEventsBySeverity,
  kFindingsBySeverity,
  kFindingList,
  kTicketList,
  kChangeList,
  kCoverage,
  kWhat,
  kSeverity,
  kTime,
  kState,
  kPriority,
  kDevice,
  kApprover,
  kSite,
  kProduct,
  kHours,
  kLost,
  kSilent,
  kUnwatched,
  kLast,
  kNone,
  kCoverageNote,
  kFlawed,
  kCount
};

// In the order of the enum.
constexpr std::array<std::string_view, static_cast<size_t>(Text::kCount)> kEnglish = {
    "Monthly security report",
    "Period",
    "Made",
    "This month is not over: the numbers are preliminary.",
    "Summary",
    "Events",
    "Findings",
    "Tickets opened",
    "Tickets resolved",
    "This month",
    "Last month",
    "Difference",
    "Events by action",
    "Top ten signatures",
    "Events by severity",
    "Findings by severity",
    "Findings",
    "Tickets",
    "Changes",
    "What this report stands on",
    "What",
    "Severity",
    "Time",
    "State",
    "Priority",
    "Device",
    "Approved by",
    "Site",
    "Product",
    "Hours with logs",
    "Lost",
    "Silent",
    "Not watched",
    "Last log",
    "None.",
    "Hours of the month so far: {}. A source with fewer hours was silent or was not connected in "
    "the "
    "others: nothing can be said about those.",
    "{} events could not be read in full, {} came from devices whose clock was wrong, {} lines "
    "were "
    "lost on their way to us or here."};
constexpr std::array<std::string_view, static_cast<size_t>(Text::kCount)> kJapanese = {
    "月次セキュリティ報告書",
    "対象期間",
    "作成日時",
    "対象月は終了していません。数値は暫定値です。",
    "概要",
    "イベント",
    "検知",
    "起票チケット",
    "解決チケット",
    "当月",
    "前月",
    "増減",
    "動作別イベント数",
    "シグネチャ上位10件",
    "重大度別イベント数",
    "重大度別検知数",
    "検知一覧",
    "チケット一覧",
    "変更一覧",
    "本報告の根拠となるログ",
    "内容",
    "重大度",
    "日時",
    "状態",
    "優先度",
    "機器",
    "承認者",
    "拠点",
    "製品",
    "受信時間数",
    "消失",
    "無受信",
    "監視外",
    "最終受信",
    "該当なし。",
    "当月の経過時間は{}"
    "時間です。これより少ないログ源は、その差の時間に受信がありません。その間の事象については判断で"
    "きません。",
    "解析しきれなかったイベント {} 件、機器の時刻が不正なイベント {} 件、消失したログ {} 行。"};

std::string HoursAndMinutes(uint32_t minutes) {
  return fmt::format("{}:{:02}", minutes / 60, minutes % 60);
}

class Page {
 public:
  Page(const v1::ReportContent& content, std::string_view language)
      : content_(content), english_(language == "en"), texts_(english_ ? kEnglish : kJapanese) {}

  std::string Render() {
    Head();
    Summary();
    Counts(Text::kByAction, content_.events_by_action());
    Counts(Text::kTopSignatures, content_.top_signatures());
    Counts(Text::kEventsBySeverity, content_.events_by_severity());
    Counts(Text::kFindingsBySeverity, content_.findings_by_severity());
    Findings();
    Tickets();
    Changes();
    Coverage();
    out_ += "</body></html>\n";
    return std::move(out_);
  }

 private:
  std::string_view T(Text text) const { return texts_[static_cast<size_t>(text)]; }
  std::string When(const google::protobuf::Timestamp& time) const {
    return LocalTime(FromProto(time), content_.time_zone());
  }

  void Head() {
    const std::string title =
        fmt::format("{} {}: {}", T(Text::kTitle), EscapeHtml(content_.month()),
                    EscapeHtml(content_.display_name()));
    out_ += fmt::format(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\">"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
        "'unsafe-inline'\"><meta name=\"viewport\" content=\"width=device-width\"><title>{}</title>"
        "<style>{}</style></head><body>\n<h1>{}</h1>\n",
        english_ ? "en" : "ja", title, kStyle, title);
    out_ +=
        fmt::format("<p>{}: {} – {} ({})<br>{}: {}</p>\n", T(Text::kPeriod),
                    When(content_.start_time()), When(content_.end_time()),
                    EscapeHtml(content_.time_zone()), T(Text::kMade), When(content_.create_time()));
    if (content_.preliminary()) {
      out_ += fmt::format("<p class=\"warn\">{}</p>\n", T(Text::kPreliminary));
    }
  }

  static std::string Difference(uint64_t now, uint64_t before) {
    if (now == before) return "±0";
    const bool up = now > before;
    return fmt::format("<span class=\"{}\">{}{}</span>", up ? "up" : "down", up ? "+" : "−",
                       up ? now - before : before - now);
  }

  void Comparison(Text label, const v1::Comparison& row) {
    out_ += fmt::format(
        "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td "
        "class=\"n\">{}</td></tr>\n",
        T(label), row.count(), row.previous_count(), Difference(row.count(), row.previous_count()));
  }

  void Header(const std::vector<std::pair<std::string_view, bool>>& columns) {
    out_ += "<table><tr>";
    for (const auto& [name, number] : columns) {
      out_ += fmt::format("<th{}>{}</th>", number ? " class=\"n\"" : "", name);
    }
    out_ += "</tr>\n";
  }

  // The heading, and whether there is anything below it.
  bool Section(Text heading, int rows) {
    out_ += fmt::format("<h2>{}</h2>\n", T(heading));
    if (rows == 0) out_ += fmt::format("<p class=\"note\">{}</p>\n", T(Text::kNone));
    return rows > 0;
  }

  void Summary() {
    Section(Text::kSummary, 1);
    Header({{"", false},
            {T(Text::kThisMonth), true},
            {T(Text::kLastMonth), true},
            {T(Text::kDifference), true}});
    Comparison(Text::kEvents, content_.events());
    Comparison(Text::kFindings, content_.findings());
    Comparison(Text::kOpened, content_.tickets_opened());
    Comparison(Text::kResolved, content_.tickets_resolved());
    out_ += "</table>\n";
  }

  void Counts(Text heading, const google::protobuf::RepeatedPtrField<v1::CountRow>& rows) {
    if (!Section(heading, rows.size())) return;
    uint64_t most = 1;
    for (const auto& row : rows) most = std::max(most, row.count());
    Header({{T(Text::kWhat), false},
            {"", false},
            {T(Text::kThisMonth), true},
            {T(Text::kLastMonth), true},
            {T(Text::kDifference), true}});
    for (const auto& row : rows) {
      constexpr double kBarWidthEm = 12;
      out_ += fmt::format(
          "<tr><td>{}</td><td><span class=\"bar\" style=\"width:{:.2f}em\"></span></td>"
          "<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
          row.label().empty() ? "–" : EscapeHtml(row.label()),
          kBarWidthEm * static_cast<double>(row.count()) / static_cast<double>(most), row.count(),
          row.previous_count(), Difference(row.count(), row.previous_count()));
    }
    out_ += "</table>\n";
  }

  void Row(const std::vector<std::string>& cells) {
    out_ += "<tr>";
    for (const auto& cell : cells) out_ += fmt::format("<td>{}</td>", EscapeHtml(cell));
    out_ += "</tr>\n";
  }

  void Findings() {
    if (!Section(Text::kFindingList, content_.finding_rows_size())) return;
    Header({{T(Text::kTime), false},
            {T(Text::kSeverity), false},
            {T(Text::kWhat), false},
            {T(Text::kEvents), false}});
    for (const auto& row : content_.finding_rows()) {
      Row({When(row.first_event_time()), row.severity(), row.title(),
           fmt::to_string(row.event_count())});
    }
    out_ += "</table>\n";
  }

  void Tickets() {
    if (!Section(Text::kTicketList, content_.ticket_rows_size())) return;
    Header({{T(Text::kTime), false},
            {T(Text::kPriority), false},
            {T(Text::kState), false},
            {T(Text::kWhat), false}});
    for (const auto& row : content_.ticket_rows()) {
      Row({When(row.create_time()), row.priority(), row.state(), row.title()});
    }
    out_ += "</table>\n";
  }

  void Changes() {
    if (!Section(Text::kChangeList, content_.change_rows_size())) return;
    Header({{T(Text::kTime), false},
            {T(Text::kState), false},
            {T(Text::kWhat), false},
            {T(Text::kDevice), false},
            {T(Text::kApprover), false}});
    for (const auto& row : content_.change_rows()) {
      Row({When(row.finish_time()), row.state(), row.title(), row.device(), row.approver()});
    }
    out_ += "</table>\n";
  }

  void Coverage() {
    const auto& coverage = content_.coverage();
    const bool any = Section(Text::kCoverage, coverage.sources_size());
    out_ +=
        fmt::format("<p class=\"note\">{} {}</p>\n",
                    fmt::format(fmt::runtime(T(Text::kCoverageNote)), coverage.hours_in_month()),
                    fmt::format(fmt::runtime(T(Text::kFlawed)), coverage.flawed_events(),
                                coverage.clock_errors(), coverage.lost_lines()));
    if (!any) return;
    Header({{T(Text::kSite), false},
            {T(Text::kDevice), false},
            {T(Text::kProduct), false},
            {T(Text::kEvents), false},
            {T(Text::kHours), false},
            {T(Text::kLost), false},
            {T(Text::kSilent), false},
            {T(Text::kUnwatched), false},
            {T(Text::kLast), false}});
    for (const auto& row : coverage.sources()) {
      Row({row.site(), row.device(), row.product(), fmt::to_string(row.event_count()),
           fmt::format("{} / {}", row.hours_with_events(), coverage.hours_in_month()),
           fmt::to_string(row.lost_lines()), HoursAndMinutes(row.silent_minutes()),
           HoursAndMinutes(row.unwatched_minutes()),
           row.has_last_receive_time() ? When(row.last_receive_time()) : ""});
    }
    out_ += "</table>\n";
  }

  const v1::ReportContent& content_;
  const bool english_;
  const std::array<std::string_view, static_cast<size_t>(Text::kCount)>& texts_;
  std::string out_;
};

}  // namespace

std::string RenderHtml(const v1::ReportContent& content, std::string_view language) {
  return Page(content, language).Render();
}

}  // namespace yagura::reporting
