// How to make clients trust a CA, platform by platform. The commands name the files that `sluice ca export`
// writes.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "cli/ca.h"

namespace sluice::cli {
namespace {

struct Platform {
  const char* name;
  const char* text;
};

constexpr Platform platforms[] = {
    {"windows", R"(Windows (Edge, Chrome and most programs; Firefox too, as it reads the system's store)
  sluice ca export --format der --out sluice-ca.cer
  On one machine, in an administrator's prompt:
    certutil -addstore -f Root sluice-ca.cer
  For a domain: Group Policy, Computer Configuration, Policies, Windows Settings, Security Settings, Public Key Policies,
  Trusted Root Certification Authorities, Import.
)"},
    {"macos", R"(macOS
  sluice ca export --out sluice-ca.pem
  sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain sluice-ca.pem
  Or deploy it as a certificate payload with an MDM, which needs no confirmation by the user.
)"},
    {"ios", R"(iOS, iPadOS
  sluice ca export --format der --out sluice-ca.cer
  Open the file on the device (mail, AirDrop, a web page). Settings, Profile Downloaded, Install. Then Settings, General,
  About, Certificate Trust Settings: switch it on; without this second step it is not trusted.
)"},
    {"android", R"(Android
  sluice ca export --format der --out sluice-ca.crt
  Settings, Security, More security settings, Encryption and credentials, Install a certificate, CA certificate.
  Chrome trusts it then. Most apps do not: since Android 7 they must ask for user certificates. Give those a tunnel rule.
)"},
    {"debian", R"(Debian, Ubuntu
  sluice ca export --out /usr/local/share/ca-certificates/sluice-ca.crt
  update-ca-certificates
  Serves curl, wget, git, apt, Python and others. Browsers have stores of their own: see chrome and firefox.
)"},
    {"fedora", R"(Fedora, RHEL, Rocky, AlmaLinux
  sluice ca export --out /etc/pki/ca-trust/source/anchors/sluice-ca.pem
  update-ca-trust
)"},
    {"suse", R"(SUSE, openSUSE
  sluice ca export --out /etc/pki/trust/anchors/sluice-ca.pem
  update-ca-certificates
)"},
    {"arch", R"(Arch Linux
  sluice ca export --out sluice-ca.pem
  trust anchor --store sluice-ca.pem
)"},
    {"alpine", R"(Alpine Linux
  sluice ca export --out /usr/local/share/ca-certificates/sluice-ca.crt
  apk add ca-certificates && update-ca-certificates
)"},
    {"firefox", R"(Firefox
  sluice ca export --out sluice-ca.pem
  By hand: Settings, Privacy & Security, Certificates, View Certificates, Authorities, Import, trust for websites.
  For many: a policies.json with {"policies": {"Certificates": {"Install": ["/path/to/sluice-ca.pem"]}}}, or
  "ImportEnterpriseRoots": true in the same place to use the system's store (Windows, macOS).
)"},
    {"chrome", R"(Chrome, Chromium on Linux (elsewhere they use the system's store)
  sluice ca export --out sluice-ca.pem
  certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n "Sluice CA" -i sluice-ca.pem     (package libnss3-tools or nss-tools)
  Or Settings, Privacy and security, Security, Manage certificates, Authorities, Import.
)"},
    {"java", R"(Java
  sluice ca export --out sluice-ca.pem
  keytool -importcert -cacerts -alias sluice -file sluice-ca.pem
)"},
};

}  // namespace

std::vector<std::string> ca_platforms() {
  std::vector<std::string> names;
  for (const Platform& platform : platforms) names.emplace_back(platform.name);
  return names;
}

std::string ca_option_for(const std::string& certificate_file) {
  if (certificate_file == default_ca_certificate_file) return "";
  const bool is_plain = std::ranges::all_of(certificate_file, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("/._-+:@%,=").find(c) != std::string_view::npos;
  });
  if (is_plain) return " --cert " + certificate_file;
  std::string quoted;
  for (const char c : certificate_file) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return " --cert '" + quoted + "'";
}

std::string ca_instructions(const std::string& platform, const std::string& certificate_file) {
  const auto found =
      std::ranges::find_if(platforms, [&](const Platform& known) { return platform == known.name; });
  if (found == std::end(platforms)) return "";
  std::string text = found->text;
  constexpr std::string_view command = "sluice ca export";
  const std::string option = ca_option_for(certificate_file);
  for (size_t at = text.find(command); at != std::string::npos; at = text.find(command, at + 1))
    text.insert(at + command.size(), option);
  return text;
}

}  // namespace sluice::cli
