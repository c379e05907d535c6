#include "services/detection/domain/engine/logsource.h"

#include <array>
#include <string_view>
#include <vector>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::detection {
namespace {

constexpr std::string_view kSysmon = "Microsoft-Windows-Sysmon/Operational";
constexpr std::string_view kPowerShell = "Microsoft-Windows-PowerShell/Operational";
constexpr std::string_view kPowerShellCore = "PowerShellCore/Operational";

struct Source {
  std::string_view name;
  std::string_view channel;
  std::vector<std::string_view> event_ids;  // empty: all of the channel
};

// A category may come from several channels.
std::vector<Source> WindowsCategories() {
  return {
      {"process_creation", kSysmon, {"1"}},
      {"process_creation", "Security", {"4688"}},
      {"file_change", kSysmon, {"2"}},
      {"network_connection", kSysmon, {"3"}},
      {"network_connection", "Security", {"5156"}},
      {"sysmon_status", kSysmon, {"4", "16"}},
      {"process_termination", kSysmon, {"5"}},
      {"driver_load", kSysmon, {"6"}},
      {"image_load", kSysmon, {"7"}},
      {"create_remote_thread", kSysmon, {"8"}},
      {"raw_access_thread", kSysmon, {"9"}},
      {"process_access", kSysmon, {"10"}},
      {"file_event", kSysmon, {"11"}},
      {"registry_add", kSysmon, {"12"}},
      {"registry_delete", kSysmon, {"12"}},
      {"registry_set", kSysmon, {"13"}},
      {"registry_rename", kSysmon, {"14"}},
      {"registry_event", kSysmon, {"12", "13", "14"}},
      {"create_stream_hash", kSysmon, {"15"}},
      {"pipe_created", kSysmon, {"17", "18"}},
      {"wmi_event", kSysmon, {"19", "20", "21"}},
      {"dns_query", kSysmon, {"22"}},
      {"file_delete", kSysmon, {"23", "26"}},
      {"clipboard_capture", kSysmon, {"24"}},
      {"process_tampering", kSysmon, {"25"}},
      {"file_block_executable", kSysmon, {"27"}},
      {"file_block_shredding", kSysmon, {"28"}},
      {"file_executable_detected", kSysmon, {"29"}},
      {"sysmon_error", kSysmon, {"255"}},
      {"file_access", "Microsoft-Windows-Kernel-File/Analytic", {"12"}},
      {"file_rename", "Microsoft-Windows-Kernel-File/Analytic", {"19", "27"}},
      {"ps_script", kPowerShell, {"4104"}},
      {"ps_script", kPowerShellCore, {"4104"}},
      {"ps_module", kPowerShell, {"4103"}},
      {"ps_module", kPowerShellCore, {"4103"}},
      {"ps_classic_start", "Windows PowerShell", {"400"}},
      {"ps_classic_provider_start", "Windows PowerShell", {"600"}},
  };
}

std::vector<Source> WindowsServices() {
  return {
      {"application", "Application", {}},
      {"applocker", "Microsoft-Windows-AppLocker/EXE and DLL", {}},
      {"applocker", "Microsoft-Windows-AppLocker/MSI and Script", {}},
      {"applocker", "Microsoft-Windows-AppLocker/Packaged app-Deployment", {}},
      {"applocker", "Microsoft-Windows-AppLocker/Packaged app-Execution", {}},
      {"appmodel-runtime", "Microsoft-Windows-AppModel-Runtime/Admin", {}},
      {"appxdeployment-server", "Microsoft-Windows-AppXDeploymentServer/Operational", {}},
      {"appxpackaging-om", "Microsoft-Windows-AppxPackaging/Operational", {}},
      {"bitlocker", "Microsoft-Windows-BitLocker/BitLocker Management", {}},
      {"bits-client", "Microsoft-Windows-Bits-Client/Operational", {}},
      {"capi2", "Microsoft-Windows-CAPI2/Operational", {}},
      {"certificateservicesclient-lifecycle-system",
       "Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational",
       {}},
      {"codeintegrity-operational", "Microsoft-Windows-CodeIntegrity/Operational", {}},
      {"diagnosis-scripted", "Microsoft-Windows-Diagnosis-Scripted/Operational", {}},
      {"dhcp", "Microsoft-Windows-DHCP-Server/Operational", {}},
      {"dns-client", "Microsoft-Windows-DNS Client Events/Operational", {}},
      {"dns-server", "DNS Server", {}},
      {"dns-server-analytic", "Microsoft-Windows-DNS-Server/Analytical", {}},
      {"driver-framework", "Microsoft-Windows-DriverFrameworks-UserMode/Operational", {}},
      {"firewall-as", "Microsoft-Windows-Windows Firewall With Advanced Security/Firewall", {}},
      {"hyper-v-worker", "Microsoft-Windows-Hyper-V-Worker", {}},
      {"iis-configuration", "Microsoft-IIS-Configuration/Operational", {}},
      {"kernel-event-tracing", "Microsoft-Windows-Kernel-EventTracing", {}},
      {"kernel-shimengine", "Microsoft-Windows-Kernel-ShimEngine/Operational", {}},
      {"ldap", "Microsoft-Windows-LDAP-Client/Debug", {}},
      {"ldap_debug", "Microsoft-Windows-LDAP-Client/Debug", {}},
      {"lsa-server", "Microsoft-Windows-LSA/Operational", {}},
      {"microsoft-servicebus-client", "Microsoft-ServiceBus-Client/Operational", {}},
      {"msexchange-management", "MSExchange Management", {}},
      {"ntfs", "Microsoft-Windows-Ntfs/Operational", {}},
      {"ntlm", "Microsoft-Windows-NTLM/Operational", {}},
      {"openssh", "OpenSSH/Operational", {}},
      {"powershell", kPowerShell, {}},
      {"powershell", kPowerShellCore, {}},
      {"powershell-classic", "Windows PowerShell", {}},
      {"printservice-admin", "Microsoft-Windows-PrintService/Admin", {}},
      {"printservice-operational", "Microsoft-Windows-PrintService/Operational", {}},
      {"security", "Security", {}},
      {"security-mitigations", "Microsoft-Windows-Security-Mitigations/Kernel Mode", {}},
      {"security-mitigations", "Microsoft-Windows-Security-Mitigations/User Mode", {}},
      {"sense", "Microsoft-Windows-SENSE/Operational", {}},
      {"servicebus-client", "Microsoft-ServiceBus-Client/Admin", {}},
      {"shell-core", "Microsoft-Windows-Shell-Core/Operational", {}},
      {"smbclient-connectivity", "Microsoft-Windows-SmbClient/Connectivity", {}},
      {"smbclient-security", "Microsoft-Windows-SmbClient/Security", {}},
      {"smbserver-connectivity", "Microsoft-Windows-SMBServer/Connectivity", {}},
      {"sysmon", kSysmon, {}},
      {"system", "System", {}},
      {"taskscheduler", "Microsoft-Windows-TaskScheduler/Operational", {}},
      {"terminalservices-localsessionmanager",
       "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational",
       {}},
      {"vhdmp", "Microsoft-Windows-VHDMP/Operational", {}},
      {"windefend", "Microsoft-Windows-Windows Defender/Operational", {}},
      {"wmi", "Microsoft-Windows-WMI-Activity/Operational", {}},
  };
}

Expression Join(Expression::Type type, std::vector<Expression> children) {
  if (children.size() == 1) return std::move(children.front());
  Expression expression;
  expression.type = type;
  expression.children = std::move(children);
  return expression;
}

Expression Test(std::string_view field, std::string_view value, Matcher::Placement placement) {
  Expression expression;
  expression.type = Expression::Type::kMatch;
  expression.field = field;
  expression.matcher = Matcher::Text(ReadPattern(value), placement, false);
  return expression;
}

Expression Equals(std::string_view field, std::string_view value) {
  return Test(field, value, Matcher::Placement::kWhole);
}

Expression SourceTest(const Source& source) {
  std::vector<Expression> both;
  both.push_back(Equals("Channel", source.channel));
  if (!source.event_ids.empty()) {
    std::vector<Expression> ids;
    for (const auto id : source.event_ids) ids.push_back(Equals("EventID", id));
    both.push_back(Join(Expression::Type::kOr, std::move(ids)));
  }
  return Join(Expression::Type::kAnd, std::move(both));
}

absl::StatusOr<Expression> WindowsTest(std::string_view what, std::string_view name,
                                       const std::vector<Source>& sources) {
  std::vector<Expression> any;
  for (const auto& source : sources) {
    if (EqualsIgnoreCase(source.name, name)) any.push_back(SourceTest(source));
  }
  if (any.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("logsource: Windows {} \"{}\" is not known", what, name));
  }
  return Join(Expression::Type::kOr, std::move(any));
}

// What a category or service of Sigma is among events that are not of Windows, beyond what says so
// itself. All tests of a row must hold, any row of a name will do.
struct Row {
  std::string_view name;
  std::string_view field;
  std::string_view value;  // wildcards as in rules
  std::string_view other_field = {};
  std::string_view other_value = {};
};
constexpr std::array kRows = {
    Row{"webserver", "@category", "access"},
    Row{"webserver", "@product", "apache.*"},
    Row{"webserver", "@product", "nginx.*"},
    Row{"apache", "@program", "apache2"},
    Row{"apache", "@program", "httpd"},
    Row{"apache", "@product", "apache.*"},
    Row{"nginx", "@product", "nginx.*"},
    Row{"proxy", "@category", "webfilter"},
    Row{"proxy", "@category", "utm", "subtype", "webfilter"},
    Row{"proxy", "@category", "threat", "subtype", "url"},      // Palo Alto
    Row{"proxy", "@category", "content filtering"},             // Sophos
    Row{"proxy", "@category", "url filtering"},                 // Check Point
    Row{"proxy", "@product", "sonicwall.firewall", "m", "97"},  // a page was asked for
    Row{"firewall", "@category", "traffic"},
    Row{"firewall", "@product", "linux.netfilter"},
    Row{"firewall", "@product", "yamaha.*"},
    Row{"firewall", "@product", "furukawa.*"},
    Row{"firewall", "@product", "watchguard.*"},
    Row{"dns", "@category", "utm", "subtype", "dns"},
    Row{"antivirus", "@category", "virus"},
    Row{"antivirus", "@category", "malware"},
    Row{"antivirus", "@category", "utm", "subtype", "virus"},
    Row{"antivirus", "Channel", "Microsoft-Windows-Windows Defender/Operational", "EventID",
        "111?"},
    Row{"antivirus", "Channel", "Microsoft-Windows-Windows Defender/Operational", "EventID",
        "100?"},
    Row{"antivirus", "@program", "clamd"},
    Row{"clamav", "@program", "clam*"},
    Row{"clamav", "@program", "freshclam"},
    Row{"cron", "@program", "cron*"},
    Row{"cron", "@program", "anacron"},
    Row{"auth", "@product", "linux.auth"},
    Row{"auth", "@program", "sshd"},
    Row{"auth", "@program", "su"},
    Row{"auth", "@program", "sudo"},
    Row{"auth", "@program", "login"},
    Row{"auth", "@program", "pkexec"},
    Row{"auth", "@program", "polkit*"},
    Row{"auth", "@program", "systemd-logind"},
    Row{"guacamole", "@program", "guac*"},
    Row{"guacamole", "@program", "tomcat*"},
    // What the product logs, whatever it is about.
    Row{"syslog", "@product", "*"},
    Row{"aaa", "@category", "configuration"},
    Row{"aaa", "@category", "authentication"},
    Row{"aaa", "@vendor_event_id", "AAA*"},
    Row{"aaa", "@vendor_event_id", "PARSER-*"},
    Row{"bgp", "@vendor_event_id", "*BGP*"},
    Row{"bgp", "@vendor_event_id", "*TCP-*"},
    Row{"ldp", "@vendor_event_id", "*LDP*"},
    Row{"ldp", "@vendor_event_id", "*TCP-*"},
};
// What runs on Linux says so seldom.
constexpr std::array<std::string_view, 7> kLinuxProducts = {
    "generic.syslog", "isc.*", "nlnetlabs.*", "postfix.*", "apache.*", "nginx.*", "squid.*"};
// Sysmon for Linux numbers its events as the one of Windows does.
constexpr std::string_view kLinuxSysmon = "Linux-Sysmon/Operational";

Expression ProductTest(std::string_view product) {
  std::vector<Expression> any;
  any.push_back(Equals("@product", product));
  any.push_back(Test("@product", fmt::format("{}.", product), Matcher::Placement::kStart));
  any.push_back(Test("@product", fmt::format(".{}", product), Matcher::Placement::kEnd));
  if (EqualsIgnoreCase(product, "linux")) {
    for (const auto other : kLinuxProducts) any.push_back(Equals("@product", other));
    any.push_back(Equals("Channel", kLinuxSysmon));
  }
  return Join(Expression::Type::kOr, std::move(any));
}

Expression RowTest(const Row& row) {
  std::vector<Expression> all;
  all.push_back(Equals(row.field, row.value));
  if (!row.other_field.empty()) all.push_back(Equals(row.other_field, row.other_value));
  return Join(Expression::Type::kAnd, std::move(all));
}

Expression KindTest(std::string_view name) {
  std::vector<Expression> any;
  for (const std::string_view field : {"@category", "@program", "@app"}) {
    any.push_back(Equals(field, name));
  }
  any.push_back(Test("@product", fmt::format(".{}", name), Matcher::Placement::kEnd));
  for (const Row& row : kRows) {
    if (EqualsIgnoreCase(row.name, name)) any.push_back(RowTest(row));
  }
  for (const Source& source : WindowsCategories()) {
    if (source.channel != kSysmon || !EqualsIgnoreCase(source.name, name)) continue;
    any.push_back(SourceTest({source.name, kLinuxSysmon, source.event_ids}));
  }
  return Join(Expression::Type::kOr, std::move(any));
}

}  // namespace

absl::StatusOr<Expression> LogsourceTest(const Logsource& logsource) {
  const bool windows = EqualsIgnoreCase(logsource.product, "windows");
  std::vector<Expression> all;
  if (windows && logsource.category.empty() && logsource.service.empty()) {
    Expression channel;
    channel.type = Expression::Type::kExists;
    channel.field = "Channel";
    return channel;
  }
  if (!windows && !logsource.product.empty()) all.push_back(ProductTest(logsource.product));
  if (!logsource.category.empty()) {
    // Categories of Windows events carry no product in many rules.
    auto test = WindowsTest("category", logsource.category, WindowsCategories());
    if (windows && !test.ok()) return test.status();
    if (windows) {
      all.push_back(std::move(*test));
    } else if (logsource.product.empty() && test.ok()) {
      std::vector<Expression> any;
      any.push_back(std::move(*test));
      any.push_back(KindTest(logsource.category));
      all.push_back(Join(Expression::Type::kOr, std::move(any)));
    } else {
      all.push_back(KindTest(logsource.category));
    }
  }
  if (!logsource.service.empty()) {
    if (windows) {
      YAGURA_ASSIGN_OR_RETURN(Expression test,
                              WindowsTest("service", logsource.service, WindowsServices()));
      all.push_back(std::move(test));
    } else {
      all.push_back(KindTest(logsource.service));
    }
  }
  return Join(Expression::Type::kAnd, std::move(all));
}

}  // namespace yagura::detection
